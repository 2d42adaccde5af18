package proxy_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/rewrite"
)

// doorman is a server that notes every StartupMessage, lets everybody in, and
// waits until they say goodbye.
type doorman struct {
	mu  sync.Mutex
	got [][]byte
}

func (d *doorman) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return
	}
	packet := make([]byte, max(4, binary.BigEndian.Uint32(head[:]))-4)
	if _, err := io.ReadFull(conn, packet); err != nil {
		return
	}
	d.mu.Lock()
	d.got = append(d.got, packet)
	d.mu.Unlock()
	_, err := conn.Write(welcome())
	for typ := byte(0); err == nil && typ != 'X'; {
		typ, _, err = next(conn)
	}
}

// check tells what is wrong with a StartupMessage as pgveil may send it.
func check(packet []byte) string {
	if len(packet) < 5 || packet[len(packet)-1] != 0 {
		return "is cut short"
	}
	if version := binary.BigEndian.Uint32(packet); version < version30 || version > version32 {
		return "asks for a protocol that pgveil does not relay"
	}
	words := strings.Split(strings.TrimSuffix(string(packet[4:]), "\x00"), "\x00")
	if words[len(words)-1] != "" || len(words)%2 != 1 {
		return "is malformed"
	}
	params := map[string]string{}
	for i := 0; i+1 < len(words); i += 2 {
		name, value := words[i], words[i+1]
		if _, twice := params[name]; twice || name == "" {
			return "has a parameter twice, or one without a name"
		}
		if strings.HasPrefix(name, "_pq_.") {
			return "has a protocol option"
		}
		params[name] = value
	}
	if params["user"] == "" || len(params["user"]) > 63 || params["database"] == "" {
		return "does not say who logs in where"
	}
	if params["user"] != "dora" && (params["replication"] != "" || params["user"] != "alice" && params["user"] != "crm_app" && len(params) > 2) {
		return "asks for more than the login may"
	}
	return ""
}

// FuzzStartup begins a connection with any bytes. It ends, and a server gets
// well-formed StartupMessages only, without what is not open to the login.
func FuzzStartup(f *testing.F) {
	login := func(version uint32, params string) []byte { return []byte(packet(version, params+"\x00")) }
	f.Add(login(version30, "user\x00alice\x00database\x00shop\x00application_name\x00x\x00"))
	f.Add(login(version32, "user\x00alice\x00database\x00shop\x00_pq_.x\x001\x00"))
	f.Add(login(3<<16|9999, "user\x00dora\x00database\x00shop\x00replication\x00true\x00"))
	f.Add(login(version30, "user\x00alice\x00database\x00shop\x00replication\x00true\x00"))
	f.Add(login(version30, "user\x00crm_app\x00options\x00-c search_path=x --a=b\x00"))
	f.Add(login(version30, "user\x00alice\x00database\x00shop\x00user\x00dora\x00"))
	f.Add(login(2<<16, "user\x00alice\x00"))
	f.Add(append([]byte(sslRequest+gssRequest), login(version32, "user\x00otto\x00database\x00shop\x00geqo\x00on\x00")...))
	f.Add([]byte(packet(80877102, "\x00\x00\x00\x01"+strings.Repeat("k", 32))))
	f.Add([]byte("\x16\x03\x01\x00\x00"))

	ln, door := listen(f), &doorman{}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() { door.serve(conn) })
		}
	})
	f.Cleanup(func() {
		if err := ln.Close(); err != nil {
			f.Error(err)
		}
		tasks.Wait()
	})
	engine, front := shopEngine(f), &front{}
	var err error
	if front.Enforcer, err = proxy.NewEnforcer(f.Context(), func(context.Context) (*rewrite.Engine, error) { return engine, nil }, func(context.Context) (uint64, error) { return 1, nil }); err != nil {
		f.Fatal(err)
	}
	front.run(f, "shop", nil, []func(*proxy.Options){func(o *proxy.Options) {
		o.Upstream.Hosts = []proxy.Host{{Network: "tcp", Address: ln.Addr().String()}}
	}})
	f.Fuzz(func(t *testing.T, client []byte) {
		conn, err := net.Dial("tcp", front.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(client) // it may be refused before it is read
		_ = conn.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatalf("the connection does not end: %v", err)
		}
		door.mu.Lock()
		defer door.mu.Unlock()
		for _, packet := range door.got {
			if why := check(packet); why != "" {
				t.Errorf("%q %s", packet, why)
			}
		}
		door.got = nil
		if strings.Contains(front.Log.String(), "panic in a session") {
			t.Fatal(front.Log)
		}
	})
}
