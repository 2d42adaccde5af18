package proxy

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgveil/pgveil/rewrite"
)

// metrics are all that the proxy counts. None carries a name that a client
// chose, save those that the policy knows.
type metrics struct {
	sessions         prometheus.Gauge
	logins           *prometheus.CounterVec
	lockouts         *prometheus.CounterVec
	slowed           prometheus.Counter
	guessed          prometheus.Counter
	curbed           prometheus.Counter // statements
	noticed          *prometheus.CounterVec
	quarantines      prometheus.Gauge
	statements       *prometheus.CounterVec
	decisions        map[rewrite.Decision]prometheus.Counter // of statements
	refusals         *prometheus.CounterVec
	cacheHits        prometheus.Counter
	cacheMisses      prometheus.Counter
	limited          *prometheus.CounterVec
	honey            prometheus.Counter // statements
	unnamed          prometheus.Counter // data subjects
	unpictured       prometheus.Counter // records of images
	leaks            *prometheus.CounterVec
	planSeconds      prometheus.Histogram
	auditSeconds     prometheus.Histogram
	statementSeconds prometheus.Histogram
	fromClient       prometheus.Counter // bytes
	fromServer       prometheus.Counter // bytes
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		sessions:         prometheus.NewGauge(prometheus.GaugeOpts{Name: "pgveil_sessions", Help: "Sessions that are logged in."}),
		logins:           prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pgveil_logins_total", Help: "Logins by how they ended."}, []string{"outcome"}),
		lockouts:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pgveil_login_lockouts_total", Help: "Limits of failed logins that were reached, by what they are of."}, []string{"scope"}),
		slowed:           prometheus.NewCounter(prometheus.CounterOpts{Name: "pgveil_logins_slowed_total", Help: "Logins that had to wait because of others that failed."}),
		guessed:          prometheus.NewCounter(prometheus.CounterOpts{Name: "pgveil_logins_after_failures_total", Help: "Logins that got in after many that failed."}),
		quarantines:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "pgveil_quarantines", Help: "Quarantines in force at this proxy."}),
		curbed:           prometheus.NewCounter(prometheus.CounterOpts{Name: "pgveil_statements_slowed_total", Help: "Statements that had to wait because of what was noticed of their users."}),
		noticed:          prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pgveil_watch_findings_total", Help: "What was found in how people behave, by signal."}, []string{"signal"}),
		statements:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pgveil_statements_total", Help: "Statements by decision."}, []string{"decision"}),
		refusals:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pgveil_refusals_total", Help: "Refused statements by deciding rule and SQLSTATE."}, []string{"rule", "sqlstate"}),
		cacheHits:        prometheus.NewCounter(prometheus.CounterOpts{Name: "pgveil_plan_cache_hits_total", Help: "Statements whose plan was cached."}),
		cacheMisses:      prometheus.NewCounter(prometheus.CounterOpts{Name: "pgveil_plan_cache_misses_total", Help: "Statements that had to be planned."}),
		limited:          prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pgveil_limits_stopped_total", Help: "Statements that a limit refused or stopped, by what it counts and what happens at its end."}, []string{"of", "then"}),
		honey:            prometheus.NewCounter(prometheus.CounterOpts{Name: "pgveil_honey_touched_total", Help: "Statements that read or changed a planted record."}),
		unnamed:          prometheus.NewCounter(prometheus.CounterOpts{Name: "pgveil_audit_unnamed_subjects_total", Help: "Data subjects that the access log counts only, as their names could not be had."}),
		unpictured:       prometheus.NewCounter(prometheus.CounterOpts{Name: "pgveil_audit_images_missing_total", Help: "Records of the access log that say that images of changed rows are missing."}),
		leaks:            prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pgveil_leaks_total", Help: "Personal data and secrets found in answers and in what is written, by kind and what was done."}, []string{"kind", "then"}),
		planSeconds:      histogram("pgveil_plan_seconds", "Time added by planning a statement that was not cached."),
		auditSeconds:     histogram("pgveil_audit_wait_seconds", "Time that answers waited for their audit records to be durable."),
		statementSeconds: histogram("pgveil_statement_seconds", "Time from a statement's arrival to the end of its answer."),
	}
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pgveil_bytes_total", Help: "Bytes of sessions, by who sent them."}, []string{"from"})
	m.fromClient, m.fromServer = bytes.WithLabelValues("client"), bytes.WithLabelValues("server")
	m.decisions = map[rewrite.Decision]prometheus.Counter{}
	for _, d := range []rewrite.Decision{rewrite.Allowed, rewrite.Masked, rewrite.Refused, rewrite.Unrestricted, rewrite.Observed} {
		m.decisions[d] = m.statements.WithLabelValues(string(d))
	}
	if r != nil {
		r.MustRegister(m.sessions, m.logins, m.lockouts, m.slowed, m.guessed, m.curbed, m.noticed, m.quarantines, m.statements, m.refusals, m.cacheHits, m.cacheMisses, m.limited, m.honey, m.unnamed, m.unpictured, m.leaks, m.planSeconds, m.auditSeconds, m.statementSeconds, bytes)
	}
	return m
}

func histogram(name, help string) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(10e-6, 4, 10)})
}

func (m *metrics) decided(p *rewrite.Plan) { m.decisions[p.Decision].Inc() }

func (m *metrics) refused(r *Refusal) {
	m.decisions[rewrite.Refused].Inc()
	m.refusals.WithLabelValues(r.Rule, r.Code).Inc()
}
