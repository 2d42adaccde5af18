package config

import (
	"net"
	"net/mail"
	"net/url"
	"slices"
	"time"
)

// Alerts says who is told of what somebody should look at, besides the log.
type Alerts struct {
	Window time.Duration `yaml:"window"` // in which alike events are one alert
	Sinks  []AlertSink   `yaml:"sinks"`
}

// AlertSink is a place that alerts go to: one of webhook, syslog and smtp.
type AlertSink struct {
	Name    string        `yaml:"name"`    // for metrics and the log
	Least   string        `yaml:"least"`   // notice, warning or critical: what is less does not go there; absent: warning
	Timeout time.Duration `yaml:"timeout"` // of one try; absent: 10s

	Webhook *AlertWebhook `yaml:"webhook"`
	Syslog  *Syslog       `yaml:"syslog"`
	SMTP    *AlertSMTP    `yaml:"smtp"`
}

// AlertWebhook is an address that alerts are posted to.
type AlertWebhook struct {
	URL    string    `yaml:"url"`
	Secret string    `yaml:"secret_file"` // that requests are signed with
	Token  string    `yaml:"token_file"`  // of a bearer
	TLS    ClientTLS `yaml:"tls"`
}

// AlertSMTP is a mail server, and who gets the mail.
type AlertSMTP struct {
	Host     string    `yaml:"host"`
	Port     int       `yaml:"port"`     // absent: 587, or 465 with security: tls, or 25 with none
	Security string    `yaml:"security"` // starttls, tls or none; absent: starttls
	From     string    `yaml:"from"`
	To       Words     `yaml:"to"`
	User     string    `yaml:"user"`
	Password string    `yaml:"password_file"`
	Hello    string    `yaml:"hello"` // as which pgveil greets; absent: this machine's name
	TLS      ClientTLS `yaml:"tls"`
}

func defaultAlerts() Alerts { return Alerts{Window: 5 * time.Minute} }

func (a *Alerts) paths() (paths []*string) {
	for i := range a.Sinks {
		s := &a.Sinks[i]
		if w := s.Webhook; w != nil {
			paths = append(append(paths, &w.Secret, &w.Token), w.TLS.paths()...)
		}
		if l := s.Syslog; l != nil {
			paths = append(paths, l.TLS.paths()...)
		}
		if m := s.SMTP; m != nil {
			paths = append(append(paths, &m.Password), m.TLS.paths()...)
		}
	}
	return paths
}

// validate checks the sinks, and writes what they leave out.
func (a *Alerts) validate(bad func(key, format string, args ...any)) {
	if a.Window < time.Second || a.Window > 24*time.Hour {
		bad("alerts.window", "%s is not a time from 1s to 24h", a.Window)
	}
	names := []string{"log"} // what the log is called in metrics
	for i := range a.Sinks {
		s := &a.Sinks[i]
		if !sinkName.MatchString(s.Name) {
			bad("alerts.sinks", "name %q: lower-case letters, digits, - and _, forty at most", s.Name)
		}
		if slices.Contains(names, s.Name) {
			bad("alerts.sinks", "two sinks have the name %q", s.Name)
		}
		names = append(names, s.Name)
		s.validate(func(format string, args ...any) { bad("alerts.sinks."+s.Name, format, args...) })
	}
}

func (s *AlertSink) validate(bad func(format string, args ...any)) {
	if s.Least == "" {
		s.Least = "warning"
	}
	if s.Timeout == 0 {
		s.Timeout = 10 * time.Second
	}
	if !slices.Contains([]string{"notice", "warning", "critical"}, s.Least) {
		bad("least %q is not one of notice, warning, critical", s.Least)
	}
	if s.Timeout < time.Second || s.Timeout > time.Minute {
		bad("timeout %s is not a time from 1s to 1m", s.Timeout)
	}
	kinds := 0
	if s.Webhook != nil {
		kinds++
		s.Webhook.validate(bad)
	}
	if s.Syslog != nil {
		kinds++
		s.Syslog.validate(bad)
	}
	if s.SMTP != nil {
		kinds++
		s.SMTP.validate(bad)
	}
	if kinds != 1 {
		bad("it has one of webhook, syslog and smtp")
	}
}

func (w *AlertWebhook) validate(bad func(format string, args ...any)) {
	validateWeb("webhook.url", w.URL, w.Token != "", &w.TLS, bad)
	if u, err := url.Parse(w.URL); err == nil && u.Scheme == "http" && w.Token == "" && !onLoopback(u.Hostname()) {
		bad("webhook.url: alerts name people, and would go to %s in clear: use https", u.Host)
	}
}

// ports are where mail servers are, by how they are spoken to.
var ports = map[string]int{"starttls": 587, "tls": 465, "none": 25}

func (m *AlertSMTP) validate(bad func(format string, args ...any)) {
	if m.Security == "" {
		m.Security = "starttls"
	}
	if ports[m.Security] == 0 {
		bad("smtp.security %q is not one of starttls, tls, none", m.Security)
	}
	if m.Port == 0 {
		m.Port = ports[m.Security]
	}
	if m.Port < 0 || m.Port > 65535 {
		bad("smtp.port %d is not a port", m.Port)
	}
	if _, _, err := net.SplitHostPort(m.Host); m.Host == "" || err == nil {
		bad("smtp.host %q is not the name of a machine; the port is in port", m.Host)
	}
	if len(m.To) == 0 {
		bad("smtp.to is missing")
	}
	for _, address := range append(Words{m.From}, m.To...) {
		if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
			bad("smtp: %q is not an address like anna@example.org", address)
		}
	}
	if (m.User == "") != (m.Password == "") {
		bad("smtp.user and password_file go together")
	}
	if m.Security == "none" && (m.User != "" || m.TLS != (ClientTLS{})) {
		bad("smtp.security none leaves no use for user and tls: a password is not sent in clear")
	}
	m.TLS.validate(bad)
}
