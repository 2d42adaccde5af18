package alert

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgveil/pgveil/syslog"
)

func newSyslog(network, address string, t *tls.Config) *Syslog {
	return &Syslog{Sender: syslog.Sender{Network: network, Address: address, TLS: t, Facility: 13, Host: "veil.example", App: "pgveil", Enterprise: 32473}, MaxSize: 8192}
}

func split(t *testing.T, address string) (host string, port int) {
	t.Helper()
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// rfc5424 is a message with structured data, as the ABNF of RFC 5424 has it.
var rfc5424 = regexp.MustCompile(`^<(\d{1,3})>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ([!-~]{1,255}) ([!-~]{1,48}) - ([!-~]{1,32}) \[pgveil@32473((?: [!#-<>-\\^-~]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*)\] (.*)$`)

// TestSyslog sends over each kind of connection.
func TestSyslog(t *testing.T) {
	a := newAuthority(t)
	messages := make(chan string, 10)
	counted := func(c net.Conn) {
		r := bufio.NewReader(c)
		length, err := r.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
		message := make([]byte, n)
		if _, rerr := io.ReadFull(r, message); err != nil || rerr != nil {
			t.Errorf("a frame that begins with %q: %v, %v", length, err, rerr)
		}
		messages <- string(message)
	}
	packets := func(network, at string) string {
		conn, err := net.ListenPacket(network, at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		go func() {
			b := make([]byte, 1<<16)
			if n, _, err := conn.ReadFrom(b); err == nil {
				messages <- string(b[:n])
			}
		}()
		return conn.LocalAddr().String()
	}
	for _, tt := range []struct{ network, address string }{
		{"tcp", serve(t, listen(t), counted)},
		{"tls", serve(t, tls.NewListener(listen(t), a.server(t)), counted)},
		{"udp", packets("udp", "127.0.0.1:0")},
		{"unix", packets("unixgram", filepath.Join(t.TempDir(), "log"))},
	} {
		t.Run(tt.network, func(t *testing.T) {
			s := newSyslog(tt.network, tt.address, a.client())
			if err := send(t, s, cruel(), 5*time.Second); err != nil {
				t.Fatal(err)
			}
			got := <-messages
			parts := rfc5424.FindStringSubmatch(got)
			if parts == nil || parts[1] != "108" || parts[4] != "login_lockout" || parts[6] != cruel().Message || strings.ContainsAny(got, "\r\n\x00\x1b") {
				t.Errorf("the message is %q", got)
			} else if !strings.Contains(parts[5], ` severity="warning" count="3" login="`) || !strings.Contains(parts[5], ` n="-7"`) {
				t.Errorf("its data are %q", parts[5])
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSyslogSize leaves details out for which there is no room, and says so.
func TestSyslogSize(t *testing.T) {
	s := newSyslog("udp", "", nil)
	for _, s.MaxSize = range []int{800, 1500, 4096} {
		m := string(s.message(cruel()))
		if len(m) > s.MaxSize || rfc5424.FindStringSubmatch(m) == nil || s.MaxSize == 800 && !strings.Contains(m, `leftOut="`) {
			t.Errorf("of %d bytes at most: %q", s.MaxSize, m)
		}
	}
	for severity, want := range map[Severity]string{Notice: "<109>", Warning: "<108>", Critical: "<106>", 0: "<106>"} {
		a := cruel()
		a.Severity = severity
		if m := string(s.message(a)); !strings.HasPrefix(m, want) {
			t.Errorf("%s is %.20q", severity, m)
		}
	}
}
