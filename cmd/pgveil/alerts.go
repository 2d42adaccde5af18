package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgveil/pgveil/alert"
	"github.com/pgveil/pgveil/config"
)

// alertsLast is how long what is left may take at the end, and when sinks are
// replaced.
const alertsLast = 5 * time.Second

// startAlerts begins to send alerts where the configuration says.
func (p *process) startAlerts() error {
	routes, err := alertRoutes(p.cfg.Alerts)
	if err != nil {
		return err
	}
	p.alerts = alert.New(alert.Options{Log: p.log, Window: p.cfg.Alerts.Window, Host: hostName(), Metrics: p.registry})
	p.alerts.Replace(routes, alertsLast)
	return nil
}

// reloadAlerts reads the configuration again and puts its sinks in force.
func (p *process) reloadAlerts() {
	cfg, err := config.Load(p.cfg.File)
	var routes []alert.Route
	if err == nil {
		routes, err = alertRoutes(cfg.Alerts)
	}
	if err != nil {
		p.log.Error("sinks of alerts not reloaded: those in force stay in force", "err", err)
		return
	}
	p.alerts.Replace(routes, alertsLast)
	p.log.Info("sinks of alerts in force", "sinks", len(routes))
}

// endAlerts gives what is left a moment.
func (p *process) endAlerts() {
	ctx, cancel := context.WithTimeout(context.Background(), alertsLast)
	defer cancel()
	if err := p.alerts.Close(ctx); err != nil {
		p.log.Error("not all alerts were delivered", "err", err)
	}
}

// alertRoutes makes what the configuration says, and reads every secret once, so
// that one that cannot be read is found at the start.
func alertRoutes(a config.Alerts) (routes []alert.Route, err error) {
	for i := range a.Sinks {
		c := &a.Sinks[i]
		r := alert.Route{Name: c.Name, Least: alert.ParseSeverity(c.Least), Timeout: c.Timeout}
		switch {
		case c.Webhook != nil:
			r.To, err = alertWebhook(c.Webhook)
		case c.Syslog != nil:
			r.To, err = alertSyslog(c.Syslog)
		case c.SMTP != nil:
			r.To, err = alertMail(c.SMTP)
		default:
			err = errors.New("it goes nowhere")
		}
		if err != nil {
			return nil, fmt.Errorf("alerts.sinks.%s: %w", c.Name, err)
		}
		routes = append(routes, r)
	}
	return routes, nil
}

func alertWebhook(c *config.AlertWebhook) (*alert.Webhook, error) {
	w := &alert.Webhook{URL: c.URL}
	var err error
	if w.TLS, err = clientTLS(&c.TLS); err != nil {
		return nil, err
	}
	if w.Token, err = secretFile(c.Token); err != nil || c.Secret == "" {
		return w, err
	}
	read, err := secretFile(c.Secret)
	if err != nil {
		return nil, err
	}
	w.Secret = func() ([]byte, error) {
		text, err := read()
		if err != nil {
			return nil, err
		}
		secret, err := alert.ParseSecret(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Secret, err)
		}
		return secret, nil
	}
	_, err = w.Secret()
	return w, err
}

func alertSyslog(c *config.Syslog) (*alert.Syslog, error) {
	s, err := syslogSender(c)
	return &alert.Syslog{Sender: s, MaxSize: c.MaxSize}, err
}

// securities are the words of smtp.security. config has checked them.
var securities = map[string]alert.Security{"starttls": alert.StartTLS, "tls": alert.ImplicitTLS, "none": alert.InClear}

func alertMail(c *config.AlertSMTP) (*alert.Mail, error) {
	m := &alert.Mail{
		Host: c.Host, Port: c.Port, Security: securities[c.Security], From: c.From, To: c.To, User: c.User, Hello: cmp.Or(c.Hello, hostName()),
	}
	var err error
	if m.Password, err = secretFile(c.Password); err == nil {
		m.TLS, err = clientTLS(&c.TLS)
	}
	return m, err
}
