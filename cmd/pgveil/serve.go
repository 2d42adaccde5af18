package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/audit/ship"
	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/detect"
	"github.com/pgveil/pgveil/limits"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/proxy/auth"
	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/mask"
	"github.com/pgveil/pgveil/seal"
	"github.com/pgveil/pgveil/shred"
	"github.com/pgveil/pgveil/state"
)

const serveHelp = `Usage: pgveil serve --config FILE

Relays PostgreSQL sessions and enforces the policy. SIGHUP, or a change of the
policy's files, puts a new policy in force as a whole, or leaves the old one;
SIGHUP does so with certificates, keys, passwords and auth.rules as well. SIGTERM
ends sessions as their transactions end; a second one ends at once. Sockets that a service
manager hands over (LISTEN_FDS) are listened on in place of the configured ones.

  --config FILE   the configuration (default pgveil.yaml)

Example:
  pgveil serve --config /etc/pgveil/pgveil.yaml
`

func runServe(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stdout, serveHelp) }
	path := flags.String("config", "pgveil.yaml", "")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "pgveil serve: unexpected argument %q\n", flags.Arg(0))
		return 2
	}
	cfg, err := config.Load(*path)
	if err != nil {
		fmt.Fprintf(stderr, "pgveil serve: %v\n", err)
		return 1
	}
	log := newLogger(cfg.Log, stderr)
	boundMemory(log)
	if err := serve(ctx, cfg, log); err != nil {
		fmt.Fprintf(stderr, "pgveil serve: %v\n", err)
		return 1
	}
	return 0
}

func newLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // config has checked the level
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// process is everything that serve puts together, in the order in which it
// comes up; it goes down the other way round.
type process struct {
	cfg         *config.Config
	log         *slog.Logger
	registry    *prometheus.Registry
	alerts      *alert.Centre
	audit       *audit.Log
	logDir      string        // of the chain that this process writes
	sealer      *audit.Sealer // nil: no contents are sealed
	ring        atomic.Pointer[seal.Ring]
	dataKeys    *shred.Keys // nil: there is no store of them
	ringSerial  int64       // of the file of keys that was read last
	ringKeys    []seal.Key  // of it, without their secrets
	ringText    [32]byte    // digest of it as it was read, though it was not taken
	anchors     *anchors
	ship        *ship.Shipper
	counters    *limits.Book
	table       *table        // nil: the access log is not in the database
	loaded      atomic.Uint64 // records of our chain that are in it: those behind must stay in the log
	own         *dialer
	catalog     *connection // pgveil's own, for the catalog
	memory      *connection // and for what it remembers in the database
	habits      *connection // to what is remembered of what people do: nobody waits for it
	contain     *connection // to what is remembered of quarantines: it waits for nothing else
	names       *connection // and for what the access log calls data subjects; nil: nothing
	verify      *auth.AuthQuery
	users       atomic.Pointer[auth.Users]       // of the users file
	revocations atomic.Pointer[auth.Revocations] // of certificates; nil: there are no lists
	apiCerts    atomic.Pointer[tls.Config]       // of the api
	logins      serverLogins
	issuers     *issuers      // of tokens
	doorWatch   *doorWatch    // of connections around pgveil; nil: nobody looks for them
	restored    *restoreWatch // compares the database with the ledger of erasures
	enforcer    *proxy.Enforcer
	privacy     *requests.Service // what is about data subjects
	server      *proxy.Server

	failing  failing
	reloads  prometheus.Counter
	reloadOK prometheus.Gauge
}

func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) (err error) {
	p := &process{cfg: cfg, log: log, registry: prometheus.NewRegistry()}
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.start(ctx); err != nil {
		return err
	}
	listeners, err := doors(cfg)
	if err != nil {
		return err
	}
	return p.run(ctx, listeners)
}

// startCore brings up what serve and worker have in common, and gives pgveil's key
// and the folder of the chain of the access log that this process does not write.
func (p *process) startCore(ctx context.Context) (key []byte, other string, err error) {
	if err := p.startAlerts(); err != nil {
		return nil, "", err
	}
	var dir string
	if p.anchors, err = newAnchors(p.cfg.Audit.Anchors, p.log); err != nil {
		return nil, "", err
	}
	if p.audit, dir, other, err = p.openLog(); err != nil {
		return nil, "", err
	}
	p.logDir = dir
	p.tellLog(dir)
	if err := p.startShip(dir); err != nil {
		return nil, "", err
	}
	if key, err = readKey(p.cfg.Key); err != nil {
		return nil, "", err
	}
	if p.own, err = newDialer(p.cfg); err != nil {
		return nil, "", err
	}
	p.own.announce = "" // its watch does
	p.catalog, p.memory = newConnection(p.own.open), newConnection(p.own.openBrief)
	if p.cfg.Audit.Subjects {
		p.names = newConnection(p.own.openBrief)
	}
	p.table = newTable(p, dir, other)
	p.enforcer, err = proxy.NewEnforcer(ctx, p.loadEngine, func(ctx context.Context) (version uint64, err error) {
		err = p.catalog.use(ctx, func(c *pgx.Conn) error { version, err = pgload.Version(ctx, c); return err })
		return version, err
	})
	if err != nil {
		return nil, "", err
	}
	for _, line := range p.enforcer.Engine().Policy.Ahead() {
		p.log.Warn("policy: " + line)
	}
	p.gauges()
	if p.restored, err = newRestoreWatch(ctx, p, key); err != nil {
		return nil, "", err
	}
	if err := p.openKeys(ctx); err != nil {
		return nil, "", err
	}
	p.privacy = p.privacyService(key)
	return key, other, nil
}

func (p *process) start(ctx context.Context) error {
	key, other, err := p.startCore(ctx)
	if err != nil {
		return err
	}
	p.contain, p.habits = newConnection(p.own.openBrief), newConnection(p.own.openBrief)
	if p.logins, err = newServerLogins(ctx, p.cfg.Server.Logins); err != nil {
		return err
	}
	if p.issuers, err = newIssuers(p.cfg.Tokens); err == nil {
		err = p.issuers.load()
	}
	if err != nil {
		return err
	}
	p.issuers.first(ctx, p.log)
	if p.counters, err = openCounters(p.cfg, derive(key, "counters"), p.alerts, p.registry); err != nil {
		return err
	}
	options, err := p.options(key)
	if err != nil {
		return err
	}
	if p.server, err = proxy.New(options); err != nil {
		return err
	}
	if err := p.firstQuarantines(ctx); err != nil {
		return err
	}
	if p.doorWatch, err = newDoorWatch(p); err != nil {
		return err
	}
	if _, err = p.audit.Append(&audit.Record{Kind: audit.KindSystem, Message: started(other), Generation: p.enforcer.Engine().Policy.Generation()}); err != nil {
		return err
	}
	return p.recordRing(nil)
}

func (p *process) close() error {
	errs := []error{p.doorWatch.close(), p.restored.close()} // the former needs memory
	if p.verify != nil {
		errs = append(errs, p.verify.Close(context.Background()))
	}
	p.signOff()
	for _, c := range []*connection{p.catalog, p.memory, p.contain, p.habits, p.names} {
		if c != nil {
			errs = append(errs, c.close())
		}
	}
	if p.privacy != nil {
		errs = append(errs, p.privacy.Data.Close(context.Background()))
	}
	if p.dataKeys != nil {
		p.dataKeys.Forget()
		p.dataKeys.Store.Close()
	}
	errs = append(errs, p.table.close())
	if p.counters != nil {
		if err := p.counters.Close(context.Background()); err != nil {
			p.log.Warn("what was leased of limits counts as used", "err", err)
		}
	}
	if p.server != nil {
		_, err := p.audit.Append(&audit.Record{Kind: audit.KindSystem, Message: "stop"})
		errs = append(errs, err)
	}
	if p.audit != nil {
		errs = append(errs, p.audit.Close())
	}
	if p.ship != nil {
		p.endShip()
	}
	if p.anchors != nil {
		p.anchors.close()
	}
	if p.alerts != nil {
		p.endAlerts()
	}
	return errors.Join(errs...)
}

// loadEngine builds a whole engine from the policy's files and the server's
// catalog as they are.
func (p *process) loadEngine(ctx context.Context) (*rewrite.Engine, error) {
	doc, err := policy.Load(p.cfg.Policy)
	if err != nil {
		return nil, err
	}
	var cat *catalog.Snapshot
	err = p.catalog.use(ctx, func(c *pgx.Conn) error { cat, err = pgload.Load(ctx, c); return err })
	if err != nil {
		return nil, fmt.Errorf("load catalog: %w", err)
	}
	set, err := policy.Compile(doc, cat, policy.CheckRows(func(expr string, rel *catalog.Relation) error {
		return rewrite.CheckFilter(cat, expr, rel)
	}))
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", p.cfg.Policy, err)
	}
	e := rewrite.New(cat, set, p.cfg.Limits.PlanCache)
	if p.names != nil || set.LimitsSubjects() {
		e.NameSubjects()
	}
	return e, keepImages(e, p.cfg.Audit)
}

func (p *process) options(key []byte) (proxy.Options, error) {
	o := proxy.Options{
		Database: p.cfg.Database, Enforcer: p.enforcer, Audit: p.audit, Durable: p.cfg.Audit.Durability == "intent",
		Privacy: p.privacy, Appended: p.cfg.Auth.AppendedCode,
		State:       &state.Store{Use: p.memory.use, Key: derive(key, "factors"), Alerts: p.alerts},
		Quarantines: &state.Store{Use: p.contain.use}, Name: proxyName(),
		Watcher: detect.New(maxPeople), Habits: &state.Store{Use: p.habits.use},
		MockKey: derive(key, "mock salts"), LoginTimeout: p.cfg.Limits.LoginTimeout,
		MaxUnauthorized: p.cfg.Limits.Unauthenticated, KeepAfter: p.cfg.Server.Keep, Loops: p.cfg.Limits.Loops, Alerts: p.alerts, Log: p.log, Metrics: p.registry,
	}
	o.Held = p.restored.held
	o.Counters, o.CountKey = p.counters, derive(key, "counted subjects")
	if p.names != nil {
		o.Names = (&state.Store{Use: p.names.use}).SubjectTokens
	}
	var err error
	if o.Sealing, err = p.sealing(); err != nil {
		return o, err
	}
	if o.MaskKeys, err = mask.Settings(derive(key, "masks")); err != nil {
		return o, err
	}
	o.MaskKey, o.Ring, o.DataKeys = derive(key, "masks"), p.ring.Load(), p.dataKeys
	o.Upstream, o.Credentials = p.own.upstream, p.logins.credential
	o.Tokens, o.Logins, o.Provider = p.issuers.context, p.issuers.logins, p.issuers.provider()
	if t := p.cfg.TLS; t != nil {
		if o.TLS, err = p.clientsTLS(t); err != nil {
			return o, err
		}
		o.ClearToo, o.Certs = t.Optional, certs(t.Clients)
	}
	if o.Rules, err = rules(p.cfg); err != nil {
		return o, err
	}
	if o.CertUsers, err = certUsers(p.cfg.TLS); err != nil {
		return o, err
	}
	if o.Guard, err = newGuard(p.cfg.Auth.Guard, p.registry); err != nil {
		return o, err
	}
	o.Suspect, o.MaxPerAddress = p.cfg.Auth.Guard.Suspect, p.cfg.Limits.PerAddress
	o.Method = methods[p.cfg.Auth.Method]
	// It connects when the first login needs it.
	p.verify = auth.NewAuthQuery(p.own.open, p.cfg.Auth.Query)
	p.verify.Keep = p.cfg.Auth.Keep
	o.Lookup, err = p.verifiers()
	return o, err
}

// run serves until a signal or a failure, then drains.
func (p *process) run(ctx context.Context, listeners []*door) error {
	sessions, endSessions := context.WithCancel(context.Background())
	defer endSessions()
	accepting, stopAccepting := context.WithCancel(ctx)
	defer stopAccepting()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var tasks sync.WaitGroup
	failed := make(chan error, len(listeners)+2)
	for _, ln := range listeners {
		p.log.Info("listening", "address", ln.Addr().String())
		tasks.Go(func() { failed <- p.server.Serve(sessions, ln) })
	}
	if p.cfg.Admin != "" {
		ln, err := open(p.cfg.Admin, 0, p.cfg.Overlap)
		if err != nil {
			return fmt.Errorf("admin: %w", err)
		}
		tasks.Go(func() { failed <- p.serveAdmin(accepting, ln) })
	}
	if err := p.startAPI(accepting, &tasks, failed); err != nil {
		return err
	}
	tasks.Go(func() { p.keepFresh(accepting, hup) })
	tasks.Go(func() { p.issuers.keepFresh(accepting, p.log) })
	tasks.Go(func() { p.logins.keepFresh(accepting, p.log) })
	tasks.Go(func() {
		config.Watch(accepting, policyEvery, func() { p.reload(accepting, "policy files changed") }, p.cfg.Policy)
	})
	p.table.run(sessions, &tasks)
	tasks.Go(func() { p.keepElevations(accepting) })
	if err := p.startWorkers(accepting, &tasks); err != nil {
		return err
	}
	tasks.Go(func() { p.keepRetention(accepting) })
	tasks.Go(func() { p.keepHabits(sessions) })
	tasks.Go(func() { keepCounters(sessions, p.counters, p.log) })
	tasks.Go(func() { p.keepContained(sessions) })
	tasks.Go(func() { p.hearOthers(sessions) })
	tasks.Go(func() { p.keepHoney(accepting) })
	tasks.Go(func() { p.restored.run(accepting) })
	p.doorWatch.run(accepting, &tasks)
	tasks.Go(func() { p.destroySealed(accepting) })
	if p.dataKeys != nil {
		tasks.Go(func() { p.dataKeys.Listen(accepting) })
		tasks.Go(func() { p.keepReaping(accepting) })
	}
	if p.cfg.Sealing != nil {
		tasks.Go(func() { p.watchRing(accepting) })
	}
	tasks.Go(func() { p.keepRoles(accepting) })
	tasks.Go(func() { p.watchTroubles(accepting, p.troubles()) })
	if file := p.cfg.Auth.Users; file != "" {
		tasks.Go(func() { config.Watch(accepting, 2*time.Second, p.reloadUsers, file) })
	}
	if t := p.cfg.TLS; t != nil && len(t.CRL) > 0 {
		tasks.Go(func() { config.Watch(accepting, 2*time.Second, p.reloadTLS, t.CRL...) })
	}
	p.tell("READY=1")
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	p.tell("STOPPING=1")
	stopAccepting()
	p.drain(listeners)
	endSessions()
	tasks.Wait()
	return err
}

func (p *process) reload(ctx context.Context, why string) {
	p.reloads.Inc()
	if err := p.enforcer.Reload(ctx); err != nil {
		if ctx.Err() == nil {
			p.reloaded(false)
			p.log.Error("reload failed: what was in force stays in force", "why", why, "err", err)
		}
		return
	}
	p.reloaded(true)
	generation := p.enforcer.Engine().Policy.Generation()
	p.log.Info("reloaded", "why", why, "generation", generation)
	if p.server != nil {
		p.server.Expel()
	}
	if _, err := p.audit.Append(&audit.Record{Kind: audit.KindSystem, Message: "reload: " + why, Generation: generation}); err != nil {
		p.log.Error("recording the reload", "err", err)
	}
}

// reloadSecrets reads the keys of tokens and the passwords of server.logins
// again. What cannot be read stays as it is.
func (p *process) reloadSecrets(ctx context.Context) {
	if err := p.issuers.load(); err != nil {
		p.log.Error("keys of tokens not reloaded: those in force stay in force", "err", err)
	}
	if err := p.logins.renew(ctx, func(*serverLogin) bool { return true }); err != nil {
		p.log.Error("passwords not reloaded: those in force stay in force", "err", err)
	}
}

// gauges registers what is read when somebody asks.
func (p *process) gauges() {
	p.reloads = prometheus.NewCounter(prometheus.CounterOpts{Name: "pgveil_reloads_total", Help: "Reloads of the policy that were tried."})
	p.reloadOK = prometheus.NewGauge(prometheus.GaugeOpts{Name: "pgveil_last_reload_successful", Help: "Whether the last reload of policy or catalog worked."})
	p.reloadOK.Set(1)
	gauge := func(name, help string, value func(audit.Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(p.audit.Stats()) })
	}
	p.registry.MustRegister(p.anchors.lags()...)
	p.registry.MustRegister(newShipMetrics(p.ship))
	p.registry.MustRegister(p.table.lags(p.audit)...)
	p.registry.MustRegister(p.reloads, p.reloadOK, p.revocationsUntil(),
		gauge("pgveil_audit_records", "Records in the access log.", func(s audit.Stats) float64 { return float64(s.Appended) }),
		gauge("pgveil_audit_lag_records", "Records that are not durable yet.", func(s audit.Stats) float64 { return float64(s.Lag()) }),
		gauge("pgveil_audit_unsigned_records", "Records that no signed checkpoint covers yet.", func(s audit.Stats) float64 { return float64(s.Appended - s.Signed) }),
		gauge("pgveil_audit_room_bytes", "Bytes that the disk of the access log has left; -1 where it does not say.", func(s audit.Stats) float64 { return float64(s.Free) }),
		gauge("pgveil_audit_full", "1 while the disk of the access log has no room for another segment, and statements are refused or will be.", func(s audit.Stats) float64 {
			if s.Room == audit.RoomNone {
				return 1
			}
			return 0
		}),
		gauge("pgveil_audit_first_record", "Number of the first record in the access log; those before were removed.", func(s audit.Stats) float64 { return float64(s.First) }),
		gauge("pgveil_audit_bytes", "Bytes of the access log.", func(s audit.Stats) float64 { return float64(s.Bytes) }),
		gauge("pgveil_audit_refused", "Records that the access log could not take.", func(s audit.Stats) float64 { return float64(s.Refused) }))
}
