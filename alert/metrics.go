package alert

import "github.com/prometheus/client_golang/prometheus"

// metrics are all that a Centre counts. Names of events are those of Kinds.
type metrics struct {
	raised, delivered, dropped *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		raised:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pgveil_alerts_total", Help: "Events that somebody should look at, each of those that are one alert."}, []string{"name", "severity"}),
		delivered: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pgveil_alert_deliveries_total", Help: "Alerts by sink, and whether it took them in the end: sent or failed."}, []string{"sink", "outcome"}),
		dropped:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pgveil_alerts_dropped_total", Help: "Alerts that were never tried, because too many waited for the sink."}, []string{"sink"}),
	}
	for _, k := range Kinds() { // there before the first, so that it is a rise
		m.raised.WithLabelValues(k.Name, k.Severity.String())
	}
	if r != nil {
		r.MustRegister(m.raised, m.delivered, m.dropped)
	}
	return m
}

// begin has the counters of a sink there before there is anything to count, so
// that the first one is a rise.
func (m *metrics) begin(sink string) {
	m.delivered.WithLabelValues(sink, "sent")
	m.delivered.WithLabelValues(sink, "failed")
	m.dropped.WithLabelValues(sink)
}
