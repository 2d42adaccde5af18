package alert

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// Security is how a connection to a mail server is protected. The zero Security
// is refused.
type Security uint8

// How a connection is protected.
const (
	StartTLS    Security = iota + 1 // by TLS, which the server must offer
	ImplicitTLS                     // by TLS from the first byte
	InClear                         // not at all: then there is no password either
)

// Mail sends each alert by SMTP, to each recipient on its own: an address that is
// not taken must not keep the others from theirs.
type Mail struct {
	Host     string
	Port     int
	Security Security
	TLS      *tls.Config            // whom to trust; nil: whom the system does
	User     string                 // "": nobody logs in
	Password func() (string, error) // read for each alert
	From     string
	To       []string
	Hello    string // this machine's name

	sent  string          // id of the alert that was last sent
	taken map[string]bool // who has it
}

// Send sends an alert to who does not have it yet.
func (m *Mail) Send(ctx context.Context, a *Alert) error {
	if m.sent != a.ID {
		m.sent, m.taken = a.ID, map[string]bool{}
	}
	client, conn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() // it was closed in order, or this is the way to end it
	var errs []error
	for _, to := range m.To {
		if m.taken[to] {
			continue
		}
		letter, err := m.letter(a, to)
		if err != nil {
			return err
		}
		err = client.Send(letter)
		if m.taken[to] = letter.IsDelivered(); !m.taken[to] { // what fails after that is the end of the dialogue
			errs = append(errs, fmt.Errorf("%s: %w", to, err))
		}
	}
	if errs == nil {
		_ = client.Close() // all of it is taken
	}
	return final(ctx, errs)
}

// Close does nothing: each alert has a connection of its own.
func (m *Mail) Close() error { return nil }

// final gives what is wrong with an alert: where every error is the server's last
// word, so is this.
func final(ctx context.Context, errs []error) error {
	err := errors.Join(errs...)
	for _, e := range errs {
		said := new(mail.SendError)
		if !errors.As(e, &said) || said.IsTemp() || said.ErrorCode() < 500 || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	if err != nil {
		return &Refused{err.Error()}
	}
	return nil
}

// connect gives a connection on which somebody has logged in. It is dialled here
// so that it can be ended whatever the dialogue has come to.
func (m *Mail) connect(ctx context.Context) (client *mail.Client, conn net.Conn, err error) {
	options, err := m.options(ctx)
	if err != nil {
		return nil, nil, err
	}
	options = append(options, mail.WithDialContextFunc(func(dialing context.Context, network, address string) (net.Conn, error) {
		c, err := m.dial(dialing, network, address)
		if err == nil {
			conn = c
			context.AfterFunc(ctx, func() { c.Close() }) // which ends whatever waits
		}
		return c, err
	}))
	if client, err = mail.NewClient(m.Host, options...); err != nil {
		return nil, nil, err
	}
	if err := client.DialWithContext(ctx); err != nil {
		if conn != nil {
			_ = conn.Close() // what is wrong is known
		}
		if no := new(textproto.Error); errors.As(err, &no) && no.Code == wrongPassword {
			return nil, nil, &Refused{err.Error()} // who tries again and again is locked out
		}
		return nil, nil, errors.Join(err, ctx.Err())
	}
	return client, conn, nil
}

// wrongPassword is what a server answers to a login that it does not take.
const wrongPassword = 535

func (m *Mail) options(ctx context.Context) ([]mail.Option, error) {
	step := time.Minute // go-mail allots it to each step anew; the context bounds them all
	if deadline, some := ctx.Deadline(); some {
		step = max(time.Until(deadline), time.Millisecond)
	}
	options := []mail.Option{mail.WithPort(m.Port), mail.WithTimeout(step), mail.WithHELO(m.Hello)}
	switch m.Security {
	case StartTLS:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTLSConfig(m.trust()))
	case ImplicitTLS:
		options = append(options, mail.WithSSL())
	case InClear:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return nil, errors.New("it is not said how the connection is protected")
	}
	if m.User == "" {
		return options, nil
	}
	if m.Security == InClear {
		return nil, errors.New("a password is not sent in clear")
	}
	password, err := m.Password()
	return append(options, mail.WithUsername(m.User), mail.WithPassword(password),
		mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256PLUS, mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin)), err
}

func (m *Mail) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if m.Security == ImplicitTLS {
		return (&tls.Dialer{Config: m.trust()}).DialContext(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// trust says whose server it must be: the host's, unless something else is said.
func (m *Mail) trust() *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if m.TLS != nil {
		t = m.TLS.Clone()
	}
	t.ServerName = cmp.Or(t.ServerName, m.Host)
	return t
}

// letter writes an alert as an e-mail. Its header has nothing that a client
// chose: the subject is the event's name and this machine's.
func (m *Mail) letter(a *Alert, to string) (*mail.Msg, error) {
	l := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(l.From(m.From), l.To(to)); err != nil {
		return nil, err
	}
	l.Subject(fmt.Sprintf("[pgveil] %s: %s on %s", a.Severity, a.Name, text(a.Host, whoMost)))
	l.SetDateWithValue(a.Time)
	l.SetMessageIDWithValue(a.ID + "@" + m.Hello)
	l.SetGenHeader("Auto-Submitted", "auto-generated")
	l.SetBodyString(mail.TypeTextPlain, a.text())
	return l, nil
}

// text is an alert for people.
func (a *Alert) text() string {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", key+":", value)
		}
	}
	fmt.Fprintf(&b, "%s\n\n", a.Message)
	line("event", a.Name)
	line("means", Meaning(a.Name))
	line("severity", a.Severity.String())
	line("time", a.Time.UTC().Format(time.RFC3339))
	if a.Count > 1 {
		line("times", strconv.Itoa(a.Count)+", since "+a.Since.UTC().Format(time.RFC3339))
	}
	for _, attr := range append(a.who(), a.Details...) {
		line(attr.Key, attr.Value.String())
	}
	line("pgveil on", a.Host)
	line("id", a.ID)
	return b.String()
}
