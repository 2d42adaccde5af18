package main

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"time"
)

// byValkey starts a Valkey, or a Redis, by which pgveils count together.
func byValkey(a *arrangement) (string, error) {
	program, err := firstProgram("valkey-server", "redis-server")
	if err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	server := exec.Command(program, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--appendonly", "no", "--dir", a.stage.work)
	if err := server.Start(); err != nil {
		return "", err
	}
	a.close = func() error {
		err := server.Process.Kill()
		_ = server.Wait() // it was killed
		return err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return fmt.Sprintf("counters: {valkey: {address: %q, tls: disable, timeout: 5s}}\n", addr), await(addr)
}

// firstProgram finds one of the programs.
func firstProgram(names ...string) (path string, err error) {
	var errs []error
	for _, name := range names {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// freePort asks the system for a port. Nothing holds it afterwards.
func freePort() (int, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return ln.Addr().(*net.TCPAddr).Port, ln.Close()
}

// await waits until somebody listens at an address.
func await(addr string) error {
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
