package ship

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/pgveil/pgveil/audit"
)

// Syslog sends messages as RFC 5424 says: over TLS (RFC 5425) and TCP with the
// octets counted, or a datagram each.
//
// The protocol has no acknowledgement. Over TLS and TCP a batch counts as taken
// when the other machine's system has it all and the connection stands: what the
// collector does not read before it dies is gone. A datagram counts as taken when it was
// sent.
type Syslog struct {
	Network    string // tls, tcp, udp or unix (a datagram socket, as /dev/log)
	Address    string
	TLS        *tls.Config
	Facility   int    // 0 to 23
	Host, App  string // as messages say them
	Enterprise int    // the private enterprise number in the id of the structured data
	MaxSize    int    // bytes of a message

	conn   net.Conn
	gone   chan struct{} // closed when the other side has closed
	settle time.Duration // that a new connection is given to be closed by the other side
}

// headRoom is what a message has besides its body, at most. What is in the
// structured data is bounded so that it fits; the body has all of it.
const (
	headRoom = 2048
	nameMost = 128 // bytes of what names a record; a longer one is left out, for a part of it names nothing
	textMost = 48  // bytes of other values; the rest is cut off
)

func (s *Syslog) Limit() int { return s.MaxSize - headRoom }

func (s *Syslog) Close() error {
	if s.conn == nil {
		return nil
	}
	conn := s.conn
	s.conn = nil
	err := conn.Close()
	<-s.gone
	return err
}

func (s *Syslog) Send(ctx context.Context, batch []Event) (left []Event, err error) {
	messages := make([][]byte, len(batch))
	for i := range batch {
		messages[i] = s.message(&batch[i])
	}
	if err := s.write(ctx, messages); err != nil {
		return batch, err
	}
	return nil, nil
}

// SendText sends one message of another kind than an event.
func (s *Syslog) SendText(ctx context.Context, id string, text []byte) error {
	m := s.head(nil, 5, time.Now(), id)
	return s.write(ctx, [][]byte{append(append(m, " - "...), text...)})
}

func (s *Syslog) write(ctx context.Context, messages [][]byte) error {
	err := s.connect(ctx)
	if err == nil {
		err = s.writeAll(ctx, messages)
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

func (s *Syslog) writeAll(ctx context.Context, messages [][]byte) error {
	deadline, _ := ctx.Deadline()
	if err := s.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	conn := s.conn
	defer context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })() // what waits, ends
	if s.Network == "udp" || s.Network == "unix" {
		for _, m := range messages {
			if _, err := s.conn.Write(m); err != nil {
				return err
			}
		}
		return nil
	}
	var frames []byte
	for _, m := range messages {
		frames = append(strconv.AppendInt(frames, int64(len(m)), 10), ' ')
		frames = append(frames, m...)
	}
	if _, err := s.conn.Write(frames); err != nil {
		return err
	}
	return s.received(ctx)
}

func (s *Syslog) connect(ctx context.Context) (err error) {
	if s.conn != nil {
		select {
		case <-s.gone:
			if err := s.Close(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	begin := time.Now()
	switch s.Network {
	case "tls":
		s.conn, err = (&tls.Dialer{Config: s.TLS}).DialContext(ctx, "tcp", s.Address)
	case "tcp", "udp":
		s.conn, err = (&net.Dialer{}).DialContext(ctx, s.Network, s.Address)
	case "unix":
		s.conn, err = (&net.Dialer{}).DialContext(ctx, "unixgram", s.Address)
	default:
		err = fmt.Errorf("%q is no way to send syslog messages", s.Network)
	}
	if err != nil {
		s.conn = nil
		return err
	}
	if s.Network == "tls" {
		s.settle = max(minSettle, 3*time.Since(begin))
	}
	s.gone = make(chan struct{})
	go func(conn net.Conn, gone chan struct{}) {
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn) // a collector says nothing; the end is what counts
	}(s.conn, s.gone)
	return nil
}

// received waits until the other machine's system has acknowledged every byte.
func (s *Syslog) received(ctx context.Context) error {
	conn := s.conn
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 50*time.Millisecond) {
		var waits int
		var qerr error
		if err := raw.Control(func(fd uintptr) { waits, qerr = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
			return err
		}
		if qerr != nil {
			return qerr
		}
		select {
		case <-s.gone:
			return errors.New("the collector has closed the connection")
		case <-ctx.Done():
			return fmt.Errorf("the collector does not read: %d bytes wait: %w", waits, ctx.Err())
		default:
		}
		if waits == 0 {
			return s.settled()
		}
		time.Sleep(pause)
	}
}

// minSettle is how long a new connection is watched at least.
const minSettle = 250 * time.Millisecond

// settled waits, once for each connection, whether the collector closes it: in
// TLS 1.3 a client has sent before the server can refuse its certificate.
func (s *Syslog) settled() error {
	wait := s.settle
	s.settle = 0
	if wait == 0 {
		return nil
	}
	select {
	case <-s.gone:
		return errors.New("the collector has closed the connection at once: it may not accept the certificate")
	case <-time.After(wait):
		return nil
	}
}

// message writes an event as RFC 5424 says.
func (s *Syslog) message(e *Event) []byte {
	by := e.who()
	m := s.head(nil, severity(&e.Record), e.Record.Time, string(e.Record.Kind))
	m = fmt.Appendf(m, " [pgveil@%d", s.Enterprise)
	for _, p := range [...]struct{ name, value string }{{"log", e.Log}, {"uid", e.UID}, {"correlation", e.Correlation}} {
		if len(p.value) <= nameMost {
			m = appendParam(m, p.name, p.value, nameMost)
		}
	}
	for _, p := range [...]struct{ name, value string }{
		{"seq", strconv.FormatUint(e.Record.Seq, 10)}, {"user", by.User}, {"purpose", by.Purpose}, {"decision", by.Decision}, {"command", by.Command},
		{"shortenedFrom", whole(e.Whole)},
	} {
		m = appendParam(m, p.name, p.value, textMost)
	}
	return append(append(m, "] "...), e.Body...)
}

func appendParam(m []byte, name, value string, most int) []byte {
	if value == "" {
		return m
	}
	return fmt.Appendf(m, ` %s="%s"`, name, paramValue(value, most))
}

func whole(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// head writes what is before the structured data.
func (s *Syslog) head(m []byte, severity int, at time.Time, id string) []byte {
	return fmt.Appendf(m, "<%d>1 %s %s %s - %s", s.Facility*8+severity, at.UTC().Format("2006-01-02T15:04:05.000000Z"),
		name(s.Host, 255), name(s.App, 48), name(id, 32))
}

// name makes text a name in a header: printable ASCII without spaces.
func name(text string, most int) string {
	text = strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' {
			return '_'
		}
		return c
	}, cut(text, most))
	if text == "" {
		return "-"
	}
	return text
}

// paramValue escapes the value of a parameter of structured data, of at most so
// many bytes before that. Control characters, line ends among them, have no place
// in it.
func paramValue(text string, most int) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(cut(text, most))
	if len(text) > most {
		return escaped + "..."
	}
	return escaped
}

// severity is 6, informational, but for what somebody may have to look at.
func severity(r *audit.Record) int {
	switch {
	case alert(r):
		return 1
	case refused(r):
		return 4
	case failed(r), r.Kind == audit.KindSystem:
		return 5
	default:
		return 6
	}
}
