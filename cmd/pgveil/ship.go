package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/audit/ship"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/syslog"
)

// shipLast is how long what is left may take at the end.
const shipLast = 5 * time.Second

// startShip begins to ship the access log, where the configuration says so.
func (p *process) startShip(dir string) (err error) {
	o := shipOptions(p.cfg.Audit, p.log)
	o.Alerts = p.alerts
	o.Durable = func(ctx context.Context, c ship.Chain, seq uint64) error {
		if c.Dir != dir {
			return audit.SyncFiles(ctx, c.Dir, seq) // another process writes it, or nobody
		}
		if err := p.audit.Sync(ctx, seq); !errors.Is(err, audit.ErrClosed) {
			return err
		}
		return nil // Close made everything durable
	}
	sinks, err := sinks(p.cfg.Audit.Ship)
	if err != nil {
		return err
	}
	known, err := ship.Known(o.Dir)
	for _, name := range known {
		if !slices.ContainsFunc(sinks, func(s ship.Sink) bool { return s.Name == name }) {
			p.log.Warn("records are kept for a sink that is not configured; \"pgveil audit ship --forget\" ends that", "sink", name)
		}
	}
	if err == nil {
		p.ship, err = ship.Start(sinks, o)
	}
	return err
}

// endShip gives what is left a moment.
func (p *process) endShip() {
	ctx, cancel := context.WithTimeout(context.Background(), shipLast)
	defer cancel()
	if err := p.ship.Close(ctx); err != nil {
		p.log.Warn("not all of the access log was shipped; the next start goes on", "err", err)
	}
}

// mainChain is what the first chain is called in cursors; the second is
// besideDir.
const mainChain = "main"

// shipOptions says where the log's chains are, and what they are called.
func shipOptions(a config.Audit, log *slog.Logger) ship.Options {
	return ship.Options{Dir: a.Dir, Log: log, Chains: []ship.Chain{
		{Name: mainChain, Dir: a.Dir, Log: shippedAs(a)},
		{Name: besideDir, Dir: filepath.Join(a.Dir, besideDir), Log: besideOrigin(shippedAs(a))},
	}}
}

// shippedAs is what the log is called where others are as well.
func shippedAs(a config.Audit) string { return cmp.Or(a.Origin, hostName()) }

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "pgveil"
	}
	return name
}

// sinks makes what the configuration says, and reads every secret once, so that
// one that cannot be read is found at the start.
func sinks(list []config.Sink) (made []ship.Sink, err error) {
	for i := range list {
		c := &list[i]
		s := ship.Sink{Name: c.Name, Format: ship.Formats()[c.Format], FromNow: c.From == "now", Batch: c.Batch, Timeout: c.Timeout}
		for _, f := range c.Only {
			only := audit.Filter{
				Kind: audit.Kind(f.Kind), Decision: f.Decision, User: f.User, Login: f.Login, Role: f.Role, Purpose: f.Purpose,
				Database: f.Database, Command: f.Command, Class: f.Class, Column: f.Column,
			}
			if err := only.Check(); err != nil {
				return nil, fmt.Errorf("audit.ship.%s: only: %w", c.Name, err)
			}
			s.Only = append(s.Only, only)
		}
		if s.To, err = shipTarget(c); err != nil {
			return nil, fmt.Errorf("audit.ship.%s: %w", c.Name, err)
		}
		if c.DeadLetter != "" {
			s.DeadLetter = &ship.File{Path: c.DeadLetter}
		}
		made = append(made, s)
	}
	return made, nil
}

func shipTarget(c *config.Sink) (ship.Target, error) {
	switch {
	case c.File != nil:
		return &ship.File{Path: c.File.Path, MaxBytes: c.File.MaxBytes, Keep: c.File.Keep}, nil
	case c.Syslog != nil:
		return syslogTarget(c.Syslog)
	case c.Splunk != nil:
		return splunkTarget(c.Splunk)
	case c.OpenSearch != nil:
		return openSearchTarget(c.OpenSearch)
	case c.Kafka != nil:
		return kafkaTarget(c.Kafka)
	case c.Webhook != nil:
		return webhookTarget(c.Webhook)
	default:
		return nil, errors.New("it goes nowhere")
	}
}

func syslogTarget(c *config.Syslog) (*ship.Syslog, error) {
	s, err := syslogSender(c)
	return &ship.Syslog{Sender: s, MaxSize: c.MaxSize}, err
}

func syslogSender(c *config.Syslog) (s syslog.Sender, err error) {
	s = syslog.Sender{Facility: c.Facility, Host: cmp.Or(c.Host, hostName()), App: c.App, Enterprise: c.Enterprise}
	s.Network, s.Address = c.Where()
	if s.Network == "tls" {
		s.TLS, err = clientTLS(&c.TLS)
	}
	return s, err
}

func splunkTarget(c *config.ShipSplunk) (ship.Target, error) {
	h, err := httpTarget(c.URL, c.Token, "Splunk", &c.TLS)
	return &ship.Splunk{HTTP: h, Index: c.Index, Source: c.Source, SourceType: c.SourceType, Host: hostName(), Ack: c.Ack}, err
}

func openSearchTarget(c *config.ShipOpenSearch) (ship.Target, error) {
	file, scheme := c.Token, "Bearer"
	switch {
	case c.APIKey != "":
		file, scheme = c.APIKey, "ApiKey"
	case c.Password != "":
		file, scheme = c.Password, "Basic"
	}
	h, err := httpTarget(c.URL, file, scheme, &c.TLS)
	if read := h.Token; scheme == "Basic" && read != nil {
		h.Token = func() (string, error) {
			password, err := read()
			return c.User + ":" + password, err
		}
	}
	return &ship.OpenSearch{HTTP: h, Index: c.Index, Create: c.Create}, err
}

func webhookTarget(c *config.ShipWebhook) (ship.Target, error) {
	h, err := httpTarget(c.URL, c.Token, "Bearer", &c.TLS)
	if err != nil {
		return nil, err
	}
	w := &ship.Webhook{HTTP: h, Lines: c.Body == "lines"}
	w.Secret, err = secretFile(c.Secret)
	return w, err
}

func kafkaTarget(c *config.ShipKafka) (ship.Target, error) {
	k := &ship.Kafka{Brokers: c.Brokers, Topic: c.Topic, Mechanism: c.Mechanism, User: c.User}
	var err error
	if k.Password, err = secretFile(c.Password); err == nil && c.TLS != nil {
		k.TLS, err = clientTLS(c.TLS)
	}
	return k, err
}

func httpTarget(url, token, scheme string, t *config.ClientTLS) (ship.HTTP, error) {
	h := ship.HTTP{URL: url, Scheme: scheme}
	var err error
	if h.Token, err = secretFile(token); err == nil {
		h.TLS, err = clientTLS(t)
	}
	return h, err
}

// secretFile gives what reads a secret anew each time, and tries it once; nil
// where there is no file.
func secretFile(path string) (func() (string, error), error) {
	if path == "" {
		return nil, nil
	}
	read := func() (string, error) {
		text, err := readSecret(path)
		text = strings.TrimSpace(text)
		if err == nil && (text == "" || strings.ContainsAny(text, "\r\n")) {
			err = fmt.Errorf("%s does not hold one line", path)
		}
		return text, err
	}
	_, err := read()
	return read, err
}

// clientTLS is how a server is checked: always, and against its name.
func clientTLS(c *config.ClientTLS) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.Name}
	if c.CA != "" {
		text, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate", c.CA)
		}
	}
	if c.Cert != "" {
		cert, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}
