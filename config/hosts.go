package config

import (
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Hosts is where the server is: one host, a comma-separated list of them, or a
// YAML list. Each is a name, an address, or the folder of a unix socket, with a
// port behind a colon where it is another than server.port.
type Hosts []string

// UnmarshalYAML reads a text or a list of texts.
func (h *Hosts) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode {
		return node.Decode((*[]string)(h))
	}
	var text string
	if err := node.Decode(&text); err != nil {
		return err
	}
	*h = nil
	for host := range strings.SplitSeq(text, ",") {
		*h = append(*h, strings.TrimSpace(host))
	}
	return nil
}

// Host is where one server listens.
type Host struct {
	Name string // or address; a path that starts with / is the folder of a unix socket
	Port int
}

// Socket gives the path of the unix socket; "" when there is none.
func (h Host) Socket() string {
	if !strings.HasPrefix(h.Name, "/") {
		return ""
	}
	return path.Join(h.Name, ".s.PGSQL."+strconv.Itoa(h.Port))
}

// Hosts gives the servers in the order in which they are tried.
func (s *Server) Hosts() ([]Host, error) {
	var hosts []Host
	for _, text := range s.Host {
		h, err := splitHost(text, s.Port)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// splitHost reads name, name:port, [address]:port, or an IPv6 address alone.
func splitHost(text string, port int) (Host, error) {
	if text == "" {
		return Host{}, fmt.Errorf("an empty name in the list")
	}
	if net.ParseIP(text) != nil {
		return Host{text, port}, nil
	}
	if bare, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(bare, "]") {
		text += ":" + strconv.Itoa(port)
	}
	if !strings.Contains(text, ":") {
		return Host{text, port}, nil
	}
	name, digits, err := net.SplitHostPort(text)
	if err != nil {
		return Host{}, err
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || name == "" {
		return Host{}, fmt.Errorf("%q is not a host and its port", text)
	}
	return Host{name, int(n)}, nil
}
