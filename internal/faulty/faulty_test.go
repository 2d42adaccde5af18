package faulty_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/faulty"
)

// echo is a target that sends back what it gets, and then ends.
func echo(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return ln.Addr().String()
}

// The client sends ten bytes and the end of its stream, and tells what it gets.
func TestScripts(t *testing.T) {
	const sent = "0123456789"
	for _, tt := range []struct {
		name        string
		forth, back faulty.Script
		want        string
		reset       bool
	}{
		{"nothing", faulty.Script{}, faulty.Script{}, sent, false},
		{"a byte at a time", faulty.Script{Split: 1}, faulty.Script{Split: 1}, sent, false},
		{"late", faulty.Script{Delay: time.Millisecond}, faulty.Script{Stall: 5 * time.Millisecond, At: 3}, sent, false},
		{"half closed on its way", faulty.Script{End: faulty.HalfClose, After: 4}, faulty.Script{}, "0123", false},
		{"half closed at once", faulty.Script{End: faulty.HalfClose}, faulty.Script{}, "", false},
		{"closed on the way back", faulty.Script{}, faulty.Script{End: faulty.HalfClose, After: 7}, "0123456", false},
		{"reset on its way", faulty.Script{End: faulty.Reset, After: 4}, faulty.Script{}, "0123", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := faulty.Listen("tcp", echo(t))
			if err != nil {
				t.Fatal(err)
			}
			r.Set(tt.forth, tt.back)
			conn, err := net.Dial("tcp", r.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, wrote := io.WriteString(conn, sent)
			if wrote == nil {
				wrote = conn.(*net.TCPConn).CloseWrite()
			}
			got, err := io.ReadAll(conn)
			if lost := tt.reset && strings.HasPrefix(tt.want, string(got)); string(got) != tt.want && !lost {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if err = errors.Join(wrote, err); (err != nil) != tt.reset {
				t.Errorf("error %v, want one: %t", err, tt.reset)
			}
			if tt.reset && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ENOTCONN) {
				t.Errorf("error %v, want a reset", err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if forth, _ := r.Passed(); !strings.HasPrefix(sent, string(forth)) || tt.forth.End != 0 && len(forth) != tt.forth.After {
				t.Errorf("%q passed", forth)
			}
		})
	}
}

func TestTargetThatIsNotThere(t *testing.T) {
	r, err := faulty.Listen("unix", "/nonexistent/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	conn, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); len(got) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %q, %v", got, err)
	}
}
