package ship

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRsyslog sends over TLS to rsyslog, each side with a certificate, and stops
// and starts it amid. It takes rsyslogd and its module for GnuTLS.
func TestRsyslog(t *testing.T) {
	daemon, err := exec.LookPath("rsyslogd")
	if err != nil {
		t.Skip("there is no rsyslogd")
	}
	a, dir := newAuthority(t), t.TempDir()
	write(t, filepath.Join(dir, "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})))
	server := a.of("logs.example")
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[0]})))
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	_, port, err := net.SplitHostPort(address)
	if err := errors.Join(err, ln.Close()); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	write(t, filepath.Join(dir, "conf"), fmt.Sprintf(`
global(workDirectory=%[1]q maxMessageSize="64k" defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="%[1]s/ca.pem"
       defaultNetstreamDriverCertFile="%[1]s/cert.pem" defaultNetstreamDriverKeyFile="%[1]s/key.pem")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/name" permittedPeer=["veil.example"])
template(name="parsed" type="string" string="%%app-name%%|%%hostname%%|%%msgid%%|%%pri%%|%%structured-data:::json%%|%%msg%%\n")
ruleset(name="in") { action(type="omfile" file="%[1]s/out" template="parsed") }
input(type="imtcp" port="%[2]s" address="127.0.0.1" ruleset="in")
`, dir, port))
	start := func() func() {
		cmd := exec.Command(daemon, "-n", "-f", filepath.Join(dir, "conf"), "-i", filepath.Join(dir, "pid"))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		}
	}
	stop := start()
	s := newSyslog("tls", address)
	s.MaxSize = 60_000
	s.TLS = &tls.Config{RootCAs: a.pool, ServerName: "logs.example", Certificates: []tls.Certificate{a.of("veil.example")}}
	m := newLog(t)
	ship := m.start(sinkTo("rsyslog", s))
	m.statements(500)
	awaitSent(t, ship, 1000)
	stop()
	m.append(standing(hostile))
	m.append(standing(strings.Repeat("long ", 8000)))
	m.statements(500)
	defer start()()
	if err := ship.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for until := time.Now().Add(10 * time.Second); len(seen) < 2002 && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(out)
		if err != nil {
			continue // it is not there yet
		}
		for line := range strings.Lines(string(text)) {
			parts := strings.SplitN(line, "|", 6)
			if len(parts) != 6 || parts[0] != "pgveil" || parts[1] != "veil.example" {
				t.Fatalf("rsyslog has the line %q", line)
			}
			if strings.HasSuffix(line, "\n") {
				seen[seqOf(t, []byte(parts[5]))] = true
			}
		}
	}
	if len(seen) != 2002 {
		t.Errorf("rsyslog has %d records of 2002", len(seen))
	}
}
