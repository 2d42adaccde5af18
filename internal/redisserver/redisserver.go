// Package redisserver runs a Redis or Valkey server of one's own, for tests.
//
//	s, err := redisserver.Start(ctx, redisserver.Options{})
//	…
//	defer s.Stop()
//
// A server listens on the loopback alone, keeps nothing unless it is told to, and
// lives no longer than the process that started it. The package needs redis-server
// or valkey-server on the PATH, and never downloads one.
package redisserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Options say what server to start.
type Options struct {
	Dir      string   // kept by Stop; "" is a temporary one
	Port     int      // 0 is any that is free
	Settings []string // arguments, as --appendonly yes
	TLS      bool     // the port speaks TLS, by what Settings say
}

// Server is a running server.
type Server struct {
	port   int
	remove string // the folder that Stop removes; "": none
	leash  io.Closer
	exited chan struct{}
}

// ErrNotFound says that the machine has no server.
var ErrNotFound = errors.New("neither redis-server nor valkey-server is on the PATH: apt-get install redis-server")

const startTimeout = 30 * time.Second

// leash runs a server as long as its standard input is open, which it is no longer
// when whoever holds the other end ends.
const leash = `"$@" & read _; kill -9 $!; wait`

// Start starts a server, and returns when it answers.
func Start(ctx context.Context, o Options) (s *Server, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if bin, err = exec.LookPath("valkey-server"); err != nil {
			return nil, ErrNotFound
		}
	}
	s = &Server{port: o.Port, exited: make(chan struct{})}
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "pgveil-redis-"); err != nil {
			return nil, err
		}
		s.remove = o.Dir
	}
	if s.port == 0 {
		if s.port, err = freePort(); err != nil {
			return nil, err
		}
	}
	if err := s.launch(bin, o); err != nil {
		return nil, fmt.Errorf("starting %s: %w", bin, err)
	}
	if err := s.await(ctx); err != nil {
		log, _ := os.ReadFile(filepath.Join(o.Dir, logFile)) // what there is
		return nil, errors.Join(fmt.Errorf("starting %s: %w\n%s", bin, err, log), s.Stop())
	}
	return s, nil
}

const logFile = "server.log"

func (s *Server) launch(bin string, o Options) error {
	listen := []string{"--port", strconv.Itoa(s.port)}
	if o.TLS {
		listen = []string{"--port", "0", "--tls-port", strconv.Itoa(s.port)}
	}
	args := []string{
		"-c", leash, "sh", bin, "--bind", "127.0.0.1", "--dir", o.Dir, "--logfile", filepath.Join(o.Dir, logFile),
		"--save", "", "--appendonly", "no", "--daemonize", "no",
	}
	cmd := exec.Command("sh", append(append(args, listen...), o.Settings...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	s.leash = stdin
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait() // by a signal
		close(s.exited)
	}()
	return nil
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("choosing a port: %w", err)
	}
	return ln.Addr().(*net.TCPAddr).Port, ln.Close()
}

// await connects until that works.
func (s *Server) await(ctx context.Context) error {
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.exited:
			return cmp.Or(err, errors.New("it ended"))
		case <-ctx.Done():
			return ctx.Err()
		case <-retry.C:
		}
	}
}

// Addr gives the server's address: 127.0.0.1:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Port gives its port.
func (s *Server) Port() int { return s.port }

// Stop kills the server, as a failure of its machine would, and removes its
// temporary folder.
func (s *Server) Stop() error {
	_ = s.leash.Close() // a second one has nothing to close
	<-s.exited
	if s.remove == "" {
		return nil
	}
	return os.RemoveAll(s.remove)
}
