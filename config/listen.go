package config

import (
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
)

const (
	unixPrefix = "unix:"
	// longestSocket is what fits into a sockaddr_un of Linux beside its zero.
	longestSocket = 107
)

// Network takes a listening address apart: host:port, the path of a unix
// socket, or the name of an abstract one, which begins with @.
func Network(address string) (network, addr string, err error) {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		switch {
		case path == "" || path == "@":
			return "", "", fmt.Errorf("%q names no socket", address)
		case len(path) > longestSocket:
			return "", "", fmt.Errorf("%q is longer than the %d bytes that a socket's path may have", address, longestSocket)
		}
		return "unix", path, nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return "", "", err
	}
	return "tcp", address, nil
}

// SocketMode gives the permissions of unix sockets.
func (c *Config) SocketMode() (fs.FileMode, error) {
	n, err := strconv.ParseUint(c.Mode, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("%q is not a mode like 0770", c.Mode)
	}
	return fs.FileMode(n), nil
}
