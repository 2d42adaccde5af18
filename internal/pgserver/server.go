package pgserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Superuser is the superuser of every server.
const Superuser = "postgres"

const (
	startTimeout = time.Minute
	stopTimeout  = 20 * time.Second // of a fast shutdown, before it is made an immediate one
	portAttempts = 5
)

// Options say what server to start. The zero Options are a server with
// PostgreSQL's own settings in a temporary folder.
type Options struct {
	BinDir     string            // where initdb and postgres are; "" asks Find
	Dir        string            // the cluster's folder, made if need be, kept by Stop; "" is a temporary one
	Port       int               // on 127.0.0.1; 0 is any that is free
	Password   string            // the superuser's; "" makes one up
	Settings   map[string]string // postgresql.conf, over ours
	FastUnsafe bool              // for tests: a crash of the machine may lose data, and Stop does not write it back
	TLS        bool              // offer TLS, by a certificate of a throwaway CA (CAFile)
	Unlike     bool              // initdb makes the cluster, for it alone: its system identifier is nobody else's
	Standby    bool              // stay in recovery and take no writes; Dir is the copy of a cluster that was stopped
}

// Server is a running PostgreSQL server. Its methods may be called from any
// goroutine.
type Server struct {
	bin      string
	account  account
	work     string // the socket, the log, certificates, and data unless Options.Dir
	data     string
	port     int
	password string
	tls      bool
	stopBy   syscall.Signal
	leash    *leash

	process *os.Process
	exited  chan struct{} // closed when process has ended
	exit    error         // how; to be read once exited is closed

	stop func() error
}

// Start starts a server and returns when it takes logins. The context bounds
// the start, not the server's life: Stop must be called, though the end of
// this process does the same.
func Start(ctx context.Context, o Options) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s, err := prepare(o)
	if err != nil {
		return nil, fmt.Errorf("starting PostgreSQL: %w", err)
	}
	if err := s.start(ctx, o); err != nil {
		return nil, fmt.Errorf("starting PostgreSQL: %w", errors.Join(err, s.Stop()))
	}
	return s, nil
}

// prepare chooses programs, account and folders, and ties the leash: from here
// on Stop must be called.
func prepare(o Options) (*Server, error) {
	s := &Server{password: o.Password, tls: o.TLS, stopBy: syscall.SIGINT}
	s.stop = sync.OnceValue(s.shutdown)
	if s.password == "" {
		s.password = rand.Text()
	}
	if o.FastUnsafe {
		s.stopBy = syscall.SIGQUIT
	}
	var err error
	if s.bin, err = programs(o.BinDir); err != nil {
		return nil, err
	}
	if s.account, err = serverAccount(); err != nil {
		return nil, err
	}
	if s.data, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if s.work, err = os.MkdirTemp("", "pgveil-"); err != nil {
		return nil, err
	}
	if o.Dir == "" {
		s.data = filepath.Join(s.work, "data")
	}
	if err := s.account.own(s.work); err != nil {
		return nil, errors.Join(err, os.Remove(s.work))
	}
	if s.leash, err = tie(s.account, s.bin, s.data, s.work); err != nil {
		return nil, errors.Join(err, os.Remove(s.work))
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, o Options) error {
	fill := fillCluster
	if o.Unlike {
		fill = initdb
	}
	if err := createCluster(ctx, s.account, s.bin, s.data, fill); err != nil {
		return err
	}
	if o.TLS {
		if err := writeCertificates(s.work); err != nil {
			return err
		}
	}
	if o.Standby {
		if err := os.WriteFile(filepath.Join(s.data, "standby.signal"), nil, 0o600); err != nil {
			return err
		}
	}
	if err := errors.Join(s.account.own(s.data), s.account.own(s.work)); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		err := s.launch(ctx, o)
		if err == nil && o.Standby {
			return nil
		}
		if err == nil {
			return s.setPassword(ctx)
		}
		// Somebody may take the port between our choice and the server's bind.
		if o.Port != 0 || attempt == portAttempts || !errors.Is(err, errPortTaken) {
			return err
		}
	}
}

// launch runs the server on the port asked for or a free one, until it takes
// logins or has ended.
func (s *Server) launch(ctx context.Context, o Options) error {
	s.port = o.Port
	if s.port == 0 {
		var err error
		if s.port, err = freePort(); err != nil {
			return err
		}
	}
	if err := s.configure(o); err != nil {
		return err
	}
	log, err := os.Create(s.LogFile())
	if err != nil {
		return err
	}
	defer log.Close()
	// Not the context of the start: it would end the server with it.
	cmd := s.account.command(context.Background(), s.data, filepath.Join(s.bin, "postgres"), "-D", s.data)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.process, s.exited = cmd.Process, make(chan struct{})
	go s.reap(cmd, s.exited)
	return s.awaitReady(ctx)
}

func (s *Server) reap(cmd *exec.Cmd, exited chan<- struct{}) {
	s.exit = cmd.Wait()
	close(exited)
}

// freePort asks the system for a port. Nothing holds it afterwards.
func freePort() (int, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("choosing a port: %w", err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	return port, ln.Close()
}

var errPortTaken = errors.New("the port is taken")

// awaitReady logs in until that works. It goes through the socket, which lies
// in a folder of this server alone, so no other server can answer.
func (s *Server) awaitReady(ctx context.Context) error {
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.DSN("postgres", Superuser))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.exited:
			return s.whyExited()
		case <-ctx.Done():
			return fmt.Errorf("waiting for the first login: %w", err)
		case <-retry.C:
		}
	}
}

// whyExited explains, by its log, a server that ended before it was ready.
func (s *Server) whyExited() error {
	log, err := os.ReadFile(s.LogFile())
	if err != nil {
		return err
	}
	err = fmt.Errorf("the server ended: %w\n%s", s.exit, log)
	if strings.Contains(string(log), "Address already in use") {
		err = fmt.Errorf("%w: %w", errPortTaken, err)
	}
	return err
}

// setPassword makes the superuser's password the one of this start; a kept
// cluster or a folder used again has none, or an older one.
func (s *Server) setPassword(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.DSN("postgres", Superuser))
	if err != nil {
		return fmt.Errorf("setting the password: %w", err)
	}
	quoted := "'" + strings.ReplaceAll(s.password, "'", "''") + "'"
	_, err = conn.Exec(ctx, "ALTER ROLE "+Superuser+" PASSWORD "+quoted)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("setting the password: %w", err)
	}
	return nil
}

// Stop stops the server and removes its temporary files; a second call only
// tells what the first one did. Sessions that are open are ended.
func (s *Server) Stop() error { return s.stop() }

func (s *Server) shutdown() error {
	if s.process == nil {
		return s.leash.slip()
	}
	// An error means that the process has ended already.
	_ = s.process.Signal(s.stopBy)
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		_ = s.process.Signal(syscall.SIGQUIT)
		<-s.exited
	}
	return s.leash.slip()
}

// Command prepares a program to run as the operating system user that the
// server runs as: one that shares files with the server, and that, as root,
// would be refused or would be let do too much. It gets nothing of this
// process's environment but the PATH.
func (s *Server) Command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	return s.account.command(ctx, dir, name, args...)
}

// Own gives a file, or a folder and all that is in it, to that user.
func (s *Server) Own(path string) error { return s.account.own(path) }

// DSN gives a connection string for the socket, where any role of the server
// logs in without a password.
func (s *Server) DSN(database, user string) string {
	q := url.Values{"host": {s.work}, "port": {strconv.Itoa(s.port)}, "user": {user}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: q.Encode()}).String()
}

// HostDSN gives a connection string for the loopback address, with TLS and the
// server's certificate verified when it offers TLS.
func (s *Server) HostDSN(database, user, password string) string {
	q := url.Values{"sslmode": {"disable"}}
	if s.tls {
		q = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {s.CAFile()}}
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: s.Addr(), Path: "/" + database, RawQuery: q.Encode()}
	return u.String()
}

// Addr gives the server's address on the loopback: 127.0.0.1:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Port gives the server's port, which is also in its socket's name.
func (s *Server) Port() int { return s.port }

// SocketDir gives the folder of the server's socket.
func (s *Server) SocketDir() string { return s.work }

// Password gives the superuser's password.
func (s *Server) Password() string { return s.password }

// CAFile gives the certificate that signed the server's; there is one only
// with Options.TLS.
func (s *Server) CAFile() string { return filepath.Join(s.work, caFile) }

// LogFile gives the server's log.
func (s *Server) LogFile() string { return filepath.Join(s.work, "server.log") }
