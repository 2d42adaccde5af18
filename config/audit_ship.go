package config

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Sink is a place that copies of the access log's records go to: one of file,
// syslog, splunk, opensearch, kafka and webhook.
type Sink struct {
	Name       string        `yaml:"name"`   // for its cursor, metrics and the log
	Format     string        `yaml:"format"` // pgveil, ocsf or ecs; absent: pgveil
	From       string        `yaml:"from"`   // of a new sink: start or now; absent: start
	Only       []ShipFilter  `yaml:"only"`   // what any of these chooses; absent: everything
	Batch      int           `yaml:"batch"`  // events at a time; absent: 500
	Timeout    time.Duration `yaml:"timeout"`
	DeadLetter string        `yaml:"dead_letter"` // file for what the sink refuses for good; absent: it stops there

	File       *ShipFile       `yaml:"file"`
	Syslog     *Syslog         `yaml:"syslog"`
	Splunk     *ShipSplunk     `yaml:"splunk"`
	OpenSearch *ShipOpenSearch `yaml:"opensearch"`
	Kafka      *ShipKafka      `yaml:"kafka"`
	Webhook    *ShipWebhook    `yaml:"webhook"`
}

// ShipFilter chooses records; every key that is there must fit.
type ShipFilter struct {
	Kind     string `yaml:"kind"`
	Decision string `yaml:"decision"`
	User     string `yaml:"user"`
	Login    string `yaml:"login"`
	Role     string `yaml:"role"`
	Purpose  string `yaml:"purpose"`
	Database string `yaml:"database"`
	Command  string `yaml:"command"`
	Class    string `yaml:"class"`
	Column   string `yaml:"column"` // a pattern
}

// ClientTLS is how pgveil, as a client, checks a server and shows itself.
type ClientTLS struct {
	CA   string `yaml:"ca"`          // PEM file; absent: the system's roots
	Name string `yaml:"server_name"` // in the certificate; absent: the address's
	Cert string `yaml:"cert"`        // pgveil's own, where the server asks for one
	Key  string `yaml:"key"`
}

// ShipFile is a file of JSON lines.
type ShipFile struct {
	Path     string `yaml:"path"`
	MaxBytes int64  `yaml:"max_bytes"` // a longer one is put aside; absent: never
	Keep     int    `yaml:"keep"`      // of those; absent: all
}

// Syslog is a collector.
type Syslog struct {
	To         string    `yaml:"to"`            // tls://, tcp:// or udp://host:port, or unix:/path
	Facility   int       `yaml:"facility"`      // absent: 13, log audit
	Host       string    `yaml:"host"`          // that messages name; absent: this machine's
	App        string    `yaml:"app"`           // absent: pgveil
	Enterprise int       `yaml:"enterprise_id"` // absent: 32473, which RFC 5612 has for examples
	MaxSize    int       `yaml:"max_size"`      // bytes of a message; absent: 8192
	TLS        ClientTLS `yaml:"tls"`
}

// ShipSplunk is an HTTP Event Collector.
type ShipSplunk struct {
	URL        string    `yaml:"url"`
	Token      string    `yaml:"token_file"`
	Index      string    `yaml:"index"`
	Source     string    `yaml:"source"`
	SourceType string    `yaml:"sourcetype"` // absent: pgveil:access
	Ack        bool      `yaml:"ack"`        // wait until it is indexed
	TLS        ClientTLS `yaml:"tls"`
}

// ShipOpenSearch is OpenSearch or Elasticsearch.
type ShipOpenSearch struct {
	URL      string    `yaml:"url"`
	Index    string    `yaml:"index"`         // may have {day} or {month}
	Create   bool      `yaml:"create"`        // for a data stream
	APIKey   string    `yaml:"api_key_file"`  // or
	Token    string    `yaml:"token_file"`    // of a bearer, or
	User     string    `yaml:"user"`          // with
	Password string    `yaml:"password_file"` // this
	TLS      ClientTLS `yaml:"tls"`
}

// ShipKafka is a topic.
type ShipKafka struct {
	Brokers   []string   `yaml:"brokers"`
	Topic     string     `yaml:"topic"`
	Mechanism string     `yaml:"sasl"` // plain, scram-sha-256 or scram-sha-512; absent: none
	User      string     `yaml:"user"`
	Password  string     `yaml:"password_file"`
	TLS       *ClientTLS `yaml:"tls"` // absent: in clear
}

// ShipWebhook is an address that batches are posted to.
type ShipWebhook struct {
	URL    string    `yaml:"url"`
	Token  string    `yaml:"token_file"`  // of a bearer
	Secret string    `yaml:"secret_file"` // that bodies are signed with
	Body   string    `yaml:"body"`        // array or lines; absent: array
	TLS    ClientTLS `yaml:"tls"`
}

func (t *ClientTLS) paths() []*string { return []*string{&t.CA, &t.Cert, &t.Key} }

func (s *Sink) paths() []*string {
	paths := []*string{&s.DeadLetter}
	if f := s.File; f != nil {
		paths = append(paths, &f.Path)
	}
	if l := s.Syslog; l != nil {
		paths = append(paths, l.TLS.paths()...)
	}
	if h := s.Splunk; h != nil {
		paths = append(append(paths, &h.Token), h.TLS.paths()...)
	}
	if o := s.OpenSearch; o != nil {
		paths = append(append(paths, &o.APIKey, &o.Token, &o.Password), o.TLS.paths()...)
	}
	if k := s.Kafka; k != nil {
		paths = append(paths, &k.Password)
		if k.TLS != nil {
			paths = append(paths, k.TLS.paths()...)
		}
	}
	if w := s.Webhook; w != nil {
		paths = append(append(paths, &w.Token, &w.Secret), w.TLS.paths()...)
	}
	return paths
}

var sinkName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// validateShip checks the sinks, and writes what they leave out.
func validateShip(sinks []Sink, bad func(key, format string, args ...any)) {
	var names []string
	for i := range sinks {
		s := &sinks[i]
		if !sinkName.MatchString(s.Name) {
			bad("audit.ship", "name %q: lower-case letters, digits, - and _, forty at most", s.Name)
		}
		if slices.Contains(names, s.Name) {
			bad("audit.ship", "two sinks have the name %q", s.Name)
		}
		names = append(names, s.Name)
		s.complete()
		s.validate(func(format string, args ...any) { bad("audit.ship."+s.Name, format, args...) })
	}
}

func (s *Sink) complete() {
	orElse := func(to *string, value string) {
		if *to == "" {
			*to = value
		}
	}
	orElse(&s.Format, "pgveil")
	orElse(&s.From, "start")
	if s.Batch == 0 {
		s.Batch = 500
	}
	if s.Timeout == 0 {
		s.Timeout = 30 * time.Second
	}
	if s.Splunk != nil {
		orElse(&s.Splunk.SourceType, "pgveil:access")
	}
	if s.Webhook != nil {
		orElse(&s.Webhook.Body, "array")
	}
}

func (s *Sink) validate(bad func(format string, args ...any)) {
	if !slices.Contains([]string{"pgveil", "ocsf", "ecs"}, s.Format) {
		bad("format %q is not one of pgveil, ocsf, ecs", s.Format)
	}
	if s.From != "start" && s.From != "now" {
		bad("from %q is not start or now", s.From)
	}
	if s.Batch < 1 || s.Batch > 10_000 || s.Timeout < 0 {
		bad("batch is 1 to 10000, and timeout positive")
	}
	for _, f := range s.Only {
		f.validate(bad)
	}
	var checks []func()
	if f := s.File; f != nil {
		checks = append(checks, func() { f.validate(bad) })
	}
	if l := s.Syslog; l != nil {
		checks = append(checks, func() { l.validate(bad) })
	}
	if h := s.Splunk; h != nil {
		checks = append(checks, func() { h.validate(bad) })
	}
	if o := s.OpenSearch; o != nil {
		checks = append(checks, func() { o.validate(bad) })
	}
	if k := s.Kafka; k != nil {
		checks = append(checks, func() { k.validate(bad) })
	}
	if w := s.Webhook; w != nil {
		checks = append(checks, func() { w.validate(bad) })
	}
	if len(checks) != 1 {
		bad("it has one of file, syslog, splunk, opensearch, kafka and webhook")
	}
	for _, check := range checks {
		check()
	}
}

func (f *ShipFilter) validate(bad func(format string, args ...any)) {
	if *f == (ShipFilter{}) {
		bad("only: an empty filter chooses everything: leave it out")
	}
	if !slices.Contains([]string{"", "statement", "session", "privacy", "system"}, f.Kind) {
		bad("only: kind %q is not one of statement, session, privacy, system", f.Kind)
	}
	if !slices.Contains([]string{"", "allow", "mask", "refuse", "unrestricted", "observe"}, f.Decision) {
		bad("only: decision %q is not one of allow, mask, refuse, unrestricted, observe", f.Decision)
	}
}

func (t *ClientTLS) validate(bad func(format string, args ...any)) {
	if (t.Cert == "") != (t.Key == "") {
		bad("tls.cert and tls.key go together")
	}
}

func (f *ShipFile) validate(bad func(format string, args ...any)) {
	if f.Path == "" {
		bad("file.path is missing")
	}
	if f.MaxBytes < 0 || f.Keep < 0 || f.Keep > 0 && f.MaxBytes == 0 {
		bad("file.max_bytes and file.keep are positive, and keep goes with max_bytes")
	}
}

func (l *Syslog) complete() {
	if l.Facility == 0 {
		l.Facility = 13
	}
	if l.App == "" {
		l.App = "pgveil"
	}
	if l.Enterprise == 0 {
		l.Enterprise = 32473
	}
	if l.MaxSize == 0 {
		l.MaxSize = 8192
	}
}

// Where gives the network and the address of To.
func (l *Syslog) Where() (network, address string) {
	network, address, _ = strings.Cut(l.To, ":")
	return network, strings.TrimPrefix(address, "//")
}

func (l *Syslog) validate(bad func(format string, args ...any)) {
	l.complete()
	network, address := l.Where()
	_, port, err := net.SplitHostPort(address)
	switch network {
	case "tls", "tcp", "udp":
		if err != nil || port == "" {
			bad("syslog.to: %q has no host:port", l.To)
		}
	case "unix":
		if !strings.HasPrefix(address, "/") {
			bad("syslog.to: %q has no path from the root", l.To)
		}
	default:
		bad("syslog.to: %q is not tls://, tcp:// or udp://host:port, or unix:/path", l.To)
	}
	if l.Facility < 1 || l.Facility > 23 {
		bad("syslog.facility is 1 to 23")
	}
	if l.MaxSize < 4096 || l.MaxSize > 1<<20 || network == "udp" && l.MaxSize > 65_000 {
		bad("syslog.max_size is 4096 to 1048576, and to 65000 over udp")
	}
	if l.TLS != (ClientTLS{}) && network != "tls" {
		bad("syslog.tls goes with tls://")
	}
	l.TLS.validate(bad)
}

// validateWeb checks an address, and that no secret goes over the network in
// clear.
func validateWeb(key, address string, secret bool, t *ClientTLS, bad func(format string, args ...any)) {
	if !webAddress(address) {
		bad("%s: %q is not an address of http or https", key, address)
		return
	}
	u, err := url.Parse(address)
	if err != nil {
		return // webAddress has parsed it
	}
	if u.Scheme == "http" && secret && !onLoopback(u.Hostname()) {
		bad("%s: a secret would go to %s in clear: use https", key, u.Host)
	}
	if u.User != nil {
		bad("%s: secrets are in files, not in the address", key)
	}
	t.validate(bad)
}

// onLoopback tells whether what is sent to a host does not leave the machine.
func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (h *ShipSplunk) validate(bad func(format string, args ...any)) {
	validateWeb("splunk.url", h.URL, true, &h.TLS, bad)
	if h.Token == "" {
		bad("splunk.token_file is missing")
	}
}

func (o *ShipOpenSearch) validate(bad func(format string, args ...any)) {
	secrets := 0
	for _, file := range []string{o.APIKey, o.Token, o.Password} {
		if file != "" {
			secrets++
		}
	}
	validateWeb("opensearch.url", o.URL, secrets > 0, &o.TLS, bad)
	if o.Index == "" {
		bad("opensearch.index is missing")
	}
	if secrets > 1 || (o.User == "") != (o.Password == "") || strings.Contains(o.User, ":") {
		bad("opensearch has one of api_key_file, token_file, or user with password_file")
	}
}

func (k *ShipKafka) validate(bad func(format string, args ...any)) {
	if len(k.Brokers) == 0 || k.Topic == "" {
		bad("kafka.brokers and kafka.topic are needed")
	}
	if !slices.Contains([]string{"", "plain", "scram-sha-256", "scram-sha-512"}, k.Mechanism) {
		bad("kafka.sasl %q is not one of plain, scram-sha-256, scram-sha-512", k.Mechanism)
	}
	if (k.Mechanism == "") != (k.User == "") || (k.User == "") != (k.Password == "") {
		bad("kafka.sasl, user and password_file go together")
	}
	if k.Mechanism == "plain" && k.TLS == nil {
		bad("kafka: sasl plain sends the password in clear: give tls")
	}
	if k.TLS != nil {
		k.TLS.validate(bad)
	}
}

func (w *ShipWebhook) validate(bad func(format string, args ...any)) {
	validateWeb("webhook.url", w.URL, w.Token != "", &w.TLS, bad)
	if w.Body != "array" && w.Body != "lines" {
		bad("webhook.body %q is not array or lines", w.Body)
	}
}
