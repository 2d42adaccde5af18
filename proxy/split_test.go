package proxy_test

import (
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
)

// splitting is a listener whose connections give one byte a read, so every
// message is cut at every byte.
type splitting struct{ net.Listener }

func (l splitting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return oneByte{conn}, err
}

type oneByte struct{ net.Conn }

func (c oneByte) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(1, len(p))]) }

// splitter stands before the server and hands on what it sends byte by byte:
// over a socket that keeps packets apart, every read gives one.
func splitter(t testing.TB, server string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unixpacket", path)
	if err != nil {
		t.Fatal(err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() { split(t, conn, server) })
		}
	})
	t.Cleanup(func() {
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		tasks.Wait()
	})
	return path
}

func split(t testing.TB, conn net.Conn, server string) {
	up, err := net.Dial("unix", server)
	if err != nil {
		t.Error(err)
		return
	}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		relay(up, conn, 1<<20)
	})
	tasks.Go(func() {
		relay(conn, oneByte{up}, 1)
	})
	tasks.Wait()
}

// relay copies until either end is closed, and closes both.
func relay(dst, src net.Conn, size int) {
	b := make([]byte, size)
	for {
		n, err := src.Read(b)
		if n > 0 {
			if _, err := dst.Write(b[:n]); err != nil {
				break
			}
		}
		if err != nil || n == 0 {
			break
		}
	}
	_, _ = dst.Close(), src.Close()
}

// TestSplitReads runs the scripts over connections that cut every message at
// every byte, on both sides.
func TestSplitReads(t *testing.T) {
	w := newWireBase(t)
	through := func(o *proxy.Options) {
		o.Upstream.Hosts = []proxy.Host{{Network: "unixpacket", Address: splitter(t, socket(pgtest.Server(t)))}}
	}
	everybody := startOn(t, w.name, wireUnrestricted, splitting{listen(t)}, through)
	clerk := startOn(t, w.name, wireRestricted, splitting{listen(t)}, through)
	for _, s := range scripts(t) {
		for _, b := range s.Blocks {
			if b.Has("big") {
				continue
			}
			t.Run(scriptName(s)+"/"+b.Name, func(t *testing.T) {
				want := w.transcript(t, b, w.direct(t))
				if b.Has("unrestricted") {
					compare(t, want, w.transcript(t, b, w.target("tcp", everybody.Addr)), b.Has("brief"))
					return
				}
				compare(t, want, w.transcript(t, b, w.target("tcp", clerk.Addr)), true)
			})
		}
	}
}
