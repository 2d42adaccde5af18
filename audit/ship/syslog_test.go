package ship

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/syslog"
)

// collector takes messages with counted octets.
type collector struct {
	mu       sync.Mutex
	messages []string
	cut      int // connections to cut after half a message
}

func (c *collector) serve(t *testing.T, ln net.Listener) {
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go c.read(t, conn)
		}
	}()
}

func (c *collector) read(t *testing.T, conn net.Conn) {
	defer conn.Close()
	c.mu.Lock()
	cut := c.cut > 0
	c.cut--
	c.mu.Unlock()
	r := bufio.NewReader(conn)
	for {
		length, err := r.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
		if err != nil {
			t.Errorf("a frame that begins with %q", length)
			return
		}
		message := make([]byte, n)
		if cut {
			return
		}
		if _, err := io.ReadFull(r, message); err != nil {
			return
		}
		c.mu.Lock()
		c.messages = append(c.messages, string(message))
		c.mu.Unlock()
	}
}

func (c *collector) await(t *testing.T, n int) []string {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		got := slices.Clone(c.messages)
		c.mu.Unlock()
		if len(got) >= n || time.Now().After(until) {
			return got
		}
	}
}

// rfc5424 is a message with structured data, as the ABNF of RFC 5424 has it.
var rfc5424 = regexp.MustCompile(`^<(\d{1,3})>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ([!-~]{1,255}) ([!-~]{1,48}) - ([!-~]{1,32}) \[pgveil@32473((?: [a-zA-Z]+="(?:[^"\\\]]|\\["\\\]])*")*)\] (\{.*\})$`)

func newSyslog(network, address string) *Syslog {
	return &Syslog{
		Sender:  syslog.Sender{Network: network, Address: address, Facility: 13, Host: "veil.example", App: "pgveil", Enterprise: 32473},
		MaxSize: 8192,
	}
}

// TestSyslog sends over each kind of connection.
func TestSyslog(t *testing.T) {
	a := newAuthority(t)
	listen := func(network string, wrap func(net.Listener) net.Listener) func(*testing.T, *collector) string {
		return func(t *testing.T, c *collector) string {
			ln, err := net.Listen(network, "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			c.serve(t, wrap(ln))
			return ln.Addr().String()
		}
	}
	packets := func(network string) func(*testing.T, *collector) string {
		return func(t *testing.T, c *collector) string {
			address := "127.0.0.1:0"
			if network == "unixgram" {
				address = filepath.Join(t.TempDir(), "log")
			}
			conn, err := net.ListenPacket(network, address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			go func() {
				for b := make([]byte, 1<<16); ; {
					n, _, err := conn.ReadFrom(b)
					if err != nil {
						return
					}
					c.mu.Lock()
					c.messages = append(c.messages, string(b[:n]))
					c.mu.Unlock()
				}
			}()
			return conn.LocalAddr().String()
		}
	}
	secured := func(ln net.Listener) net.Listener {
		return tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{a.of("logs.example")}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert})
	}
	for network, collect := range map[string]func(*testing.T, *collector) string{
		"tls": listen("tcp", secured), "tcp": listen("tcp", func(ln net.Listener) net.Listener { return ln }), "udp": packets("udp"), "unix": packets("unixgram"),
	} {
		t.Run(network, func(t *testing.T) {
			c := &collector{}
			s := newSyslog(network, collect(t, c))
			s.TLS = &tls.Config{RootCAs: a.pool, ServerName: "logs.example", Certificates: []tls.Certificate{a.of("veil.example")}}
			m := newLog(t)
			m.statements(50)
			if err := m.ship(sinkTo("syslog", s)); err != nil {
				t.Fatal(err)
			}
			got := c.await(t, 100)
			for i, message := range got {
				parts := rfc5424.FindStringSubmatch(message)
				if parts == nil || parts[1] != "110" || parts[2] != "veil.example" {
					t.Fatalf("message %d is %q", i, message)
				}
				if seq := seqOf(t, []byte(parts[6])); seq != fmt.Sprintf("audit %d", i) || !strings.Contains(parts[5], fmt.Sprintf(` seq="%d"`, i)) {
					t.Errorf("message %d is of %s: %s", i, seq, parts[5])
				}
			}
			if len(got) != 100 {
				t.Errorf("there are %d messages", len(got))
			}
		})
	}
}

// TestSyslogVerifies sends nothing to a server that is not the one meant, or
// that does not know us.
func TestSyslogVerifies(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{a.of("logs.example")}, ClientAuth: tls.RequireAnyClientCert,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			time.Sleep(20 * time.Millisecond) // meanwhile the client has sent
			cert, err := x509.ParseCertificate(raw[0])
			if err == nil {
				_, err = cert.Verify(x509.VerifyOptions{Roots: a.pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			}
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{}
	c.serve(t, ln)
	ours := []tls.Certificate{a.of("veil.example")}
	for name, config := range map[string]*tls.Config{
		"another authority":     {RootCAs: b.pool, ServerName: "logs.example", Certificates: ours},
		"another name":          {RootCAs: a.pool, ServerName: "other.example", Certificates: ours},
		"no certificate":        {RootCAs: a.pool, ServerName: "logs.example"},
		"a stranger's":          {RootCAs: a.pool, ServerName: "logs.example", Certificates: []tls.Certificate{b.of("veil.example")}},
		"the system's, no name": nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSyslog("tls", ln.Addr().String())
			s.TLS = config
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			e := newEvent("l", &audit.Record{Kind: audit.KindSystem}, nil)
			if left, err := s.Send(ctx, []Event{e}); err == nil || len(left) != 1 {
				t.Errorf("Send = %v, %v", left, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if got := c.await(t, 0); len(got) != 0 {
		t.Errorf("the collector has %q", got)
	}
}

// TestSyslogCut loses connections amid a batch; every message arrives.
func TestSyslogCut(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{cut: 3}
	c.serve(t, ln)
	m := newLog(t)
	for range 600 {
		m.append(standing(strings.Repeat("x", 5000))) // batches that no buffer holds whole
	}
	sink := sinkTo("syslog", newSyslog("tcp", ln.Addr().String()))
	sink.Batch = 10_000
	if err := m.ship(sink); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, message := range c.await(t, 600) {
		seen[seqOf(t, []byte(message[strings.Index(message, "] {")+2:]))] = true
	}
	if len(seen) != 600 {
		t.Errorf("%d records of 600 arrived", len(seen))
	}
}

// hostile is text that tries to be more than text.
const hostile = "a\nb\r\n<13>1 2026-11-22T00:00:00Z forged - - - - x\x00\x1b[2J\u0085\u009b\u2028\x7f\"]\\ \xff{\"log\":\"forged\"}"

// TestHostile has names and shapes with line ends, control characters and what
// ends a value. A message stays one line and one message; what is JSON says
// what it was.
func TestHostile(t *testing.T) {
	r := audit.Record{
		Seq: 7, Time: time.Unix(1, 0), Kind: audit.KindStatement, User: hostile, Login: hostile, Purpose: hostile, App: hostile, Shape: hostile, Client: hostile,
		Command: hostile, Decision: "refuse", Reasons: []string{hostile}, Database: hostile, Roles: []string{hostile}, Columns: []audit.Column{{Name: hostile, Class: hostile}},
	}
	for name, format := range Formats() {
		t.Run(name, func(t *testing.T) {
			e := newEvent("log.example", &r, nil)
			if err := e.fill(format, 0); err != nil {
				t.Fatal(err)
			}
			if i := strings.IndexFunc(string(e.Body), unicode.IsControl); i >= 0 {
				t.Errorf("a control character in %q", e.Body[i:])
			}
			message := string(newSyslog("tcp", "").message(&e))
			parts := rfc5424.FindStringSubmatch(message)
			if parts == nil || parts[6] != string(e.Body) || strings.ContainsFunc(message, unicode.IsControl) {
				t.Errorf("the message is %q", message)
			}
			var back struct{ Shape string }
			if err := decode(e.Body, &back); err != nil || name == "pgveil" && back.Shape != strings.ReplaceAll(hostile, "\xff", "\ufffd") {
				t.Errorf("it says %q, %v", back.Shape, err)
			}
		})
	}
}

// TestLong sends the longest records there can be. A message keeps to its limit,
// says so, and is of the same record.
func TestLong(t *testing.T) {
	many := make([]string, 2000)
	for i := range many {
		many[i] = fmt.Sprintf("customer:%022d", i)
	}
	m := newLog(t)
	m.append(standing(strings.Repeat("é\"\x01", 15_000)))
	seq := m.append(audit.Record{Kind: audit.KindStatement, User: strings.Repeat("ü", 20_000), Command: "SELECT", Decision: "allow", Shape: strings.Repeat("s", 30_000)})
	m.append(audit.Record{Kind: audit.KindSubjects, Ref: seq, Subjects: many})
	m.append(audit.Record{Kind: audit.KindOutcome, Ref: seq, Subjects: many[:10], Unnamed: slices.Repeat([]audit.Unnamed{{Kind: "customer", AtMost: -1}}, 1500)})
	for name, format := range Formats() {
		for _, most := range []int{4096, 8192} {
			s := newSyslog("tcp", "")
			s.MaxSize = most
			for i := range uint64(4) {
				r, err := at(m.dir, i)
				if err != nil {
					t.Fatal(err)
				}
				var of *audit.Record
				if i > 1 {
					if of, err = at(m.dir, seq); err != nil {
						t.Fatal(err)
					}
				}
				e := newEvent(strings.Repeat("]", 100), r, of)
				uid := e.UID
				if err := e.fill(format, s.Limit()); err != nil {
					t.Errorf("%s, %d bytes, record %d: %v", name, most, i, err)
					continue
				}
				message := string(s.message(&e))
				if len(message) > most || !rfc5424.MatchString(message) || e.Whole < 30_000 || !strings.Contains(message, fmt.Sprintf(` shortenedFrom="%d"`, e.Whole)) {
					t.Errorf("%s, %d bytes, record %d: %d bytes: %q", name, most, i, len(message), message)
				}
				if e.UID != uid || !strings.Contains(string(e.Body), uid) && name != "ecs" && name != "ocsf" {
					t.Errorf("%s: record %d changed its name", name, i)
				}
			}
		}
	}
}

func awaitSent(t *testing.T, s *Shipper, n uint64) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); s.Stats()[0].Sent < n; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("Stats = %+v", s.Stats())
		}
	}
}
