package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

const (
	// maxStartup is MAX_STARTUP_PACKET_LENGTH in PostgreSQL's pqcomm.h.
	maxStartup = 10000
	// maxLoginName is NAMEDATALEN less its zero: the server cuts longer names
	// off, and would let in somebody else than the policy decides about.
	maxLoginName = 63

	protocol3  = 3 << 16
	sslCode    = 80877103
	gssCode    = 80877104
	cancelCode = 80877102

	tlsHandshake = 0x16 // the first byte of a TLS connection
)

// startup is what a client says before it logs in.
type startup struct {
	conn   net.Conn
	params []param // in the order sent
	minor  int     // of the protocol version asked for
}

type param struct{ name, value string }

func (s *startup) get(name string) string {
	for _, p := range s.params {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// errCancelled says that the connection was a CancelRequest, and is done.
var errCancelled = errors.New("cancel request")

// greet reads what comes before the login: at most one request each for TLS
// and GSSAPI encryption, then the StartupMessage or a CancelRequest. It reads
// exactly what it expects, so nothing sent in clear is taken as under TLS.
func (srv *Server) greet(ctx context.Context, conn net.Conn) (*startup, error) {
	askedTLS, askedGSS := false, false
	for {
		code, body, secured, err := srv.packet(ctx, conn, !askedTLS)
		if err != nil {
			return nil, err
		}
		conn = secured
		switch code {
		case sslCode:
			if askedTLS {
				return nil, newFatal("08P01", "TLS was asked for twice")
			}
			askedTLS = true
			if conn, err = srv.offerTLS(ctx, conn); err != nil {
				return nil, err
			}
		case gssCode:
			if askedGSS {
				return nil, newFatal("08P01", "GSSAPI encryption was asked for twice")
			}
			askedGSS = true
			if _, err := conn.Write([]byte{'N'}); err != nil {
				return nil, err
			}
		case cancelCode:
			return nil, errors.Join(errCancelled, srv.cancel(ctx, body))
		default:
			return srv.startupMessage(conn, code, body)
		}
	}
}

// packet reads one packet of the startup phase. A connection that begins with
// a TLS handshake is secured first, where that may be.
func (srv *Server) packet(ctx context.Context, conn net.Conn, mayTLS bool) (code uint32, body []byte, secured net.Conn, err error) {
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:1]); err != nil {
		return 0, nil, conn, err
	}
	if head[0] == tlsHandshake && mayTLS && srv.tls != nil {
		if conn, err = srv.directTLS(ctx, conn, head[0]); err != nil {
			return 0, nil, conn, err
		}
		if _, err := io.ReadFull(conn, head[:1]); err != nil {
			return 0, nil, conn, err
		}
	}
	if _, err := io.ReadFull(conn, head[1:]); err != nil {
		return 0, nil, conn, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < 8 || n > maxStartup {
		return 0, nil, conn, newFatal("08P01", "invalid length of startup packet")
	}
	body = make([]byte, n-8)
	_, err = io.ReadFull(conn, body)
	return binary.BigEndian.Uint32(head[4:]), body, conn, err
}

func (srv *Server) offerTLS(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if _, ok := conn.(*tls.Conn); ok || srv.tls == nil {
		_, err := conn.Write([]byte{'N'})
		return conn, err
	}
	if _, err := conn.Write([]byte{'S'}); err != nil {
		return conn, err
	}
	c := tls.Server(conn, srv.tls)
	return c, c.HandshakeContext(ctx)
}

// directTLS secures a connection that begins with the handshake. The client
// must then say which protocol it means.
func (srv *Server) directTLS(ctx context.Context, conn net.Conn, first byte) (net.Conn, error) {
	c := tls.Server(&prefixed{Conn: conn, r: io.MultiReader(bytes.NewReader([]byte{first}), conn)}, srv.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		return conn, err
	}
	if c.ConnectionState().NegotiatedProtocol != alpn {
		return c, errors.New("direct TLS without ALPN " + alpn)
	}
	return c, nil
}

// prefixed is a connection of which a byte was read already.
type prefixed struct {
	net.Conn
	r io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) { return p.r.Read(b) }

// startupMessage takes a StartupMessage apart.
func (srv *Server) startupMessage(conn net.Conn, version uint32, body []byte) (*startup, error) {
	if version>>16 != 3 {
		return nil, newFatal("0A000", "unsupported frontend protocol %d.%d: pgveil supports 3.0", version>>16, version&0xffff)
	}
	st := &startup{conn: conn, minor: int(version & 0xffff)}
	for {
		name, rest, ok := bytes.Cut(body, []byte{0})
		if !ok {
			return nil, newFatal("08P01", "invalid startup packet layout: expected terminator as last byte")
		}
		if len(name) == 0 {
			if len(rest) > 0 {
				return nil, newFatal("08P01", "invalid startup packet layout: bytes after the terminator")
			}
			break
		}
		value, rest, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return nil, newFatal("08P01", "invalid startup packet layout: parameter without a value")
		}
		if slices.ContainsFunc(st.params, func(p param) bool { return p.name == string(name) }) {
			return nil, newFatal("08P01", "startup parameter %q is given twice", name)
		}
		st.params = append(st.params, param{string(name), string(value)})
		body = rest
	}
	return st, st.check()
}

func (s *startup) check() error {
	user := s.get("user")
	switch {
	case user == "":
		return newFatal("28000", "no PostgreSQL user name specified in startup packet")
	case len(user) > maxLoginName:
		return newFatal("28000", "user name is longer than %d bytes", maxLoginName)
	}
	if s.get("database") == "" {
		s.params = append(slices.DeleteFunc(s.params, func(p param) bool { return p.name == "database" }), param{"database", user})
	}
	return nil
}

// negotiate tells a client that asked for a newer protocol, or for protocol
// options, what it gets.
func (s *startup) negotiate(w *wire.Writer) {
	var unknown []byte
	count := 0
	s.params = slices.DeleteFunc(s.params, func(p param) bool {
		if strings.HasPrefix(p.name, "_pq_.") {
			unknown = append(append(unknown, p.name...), 0)
			count++
			return true
		}
		return false
	})
	if s.minor == 0 && count == 0 {
		return
	}
	var b []byte
	b = binary.BigEndian.AppendUint32(b, protocol3)
	b = binary.BigEndian.AppendUint32(b, uint32(count))
	w.Frame('v', b, unknown)
}

// settings gives every run-time parameter that the client asks for at startup.
func (s *startup) settings() ([]param, error) {
	var all []param
	for _, p := range s.params {
		switch p.name {
		case "user", "database", "replication":
		case "options":
			opts, err := splitOptions(p.value)
			if err != nil {
				return nil, err
			}
			all = append(all, opts...)
		default:
			all = append(all, p)
		}
	}
	return all, nil
}

// splitOptions reads command-line options as pg_split_opts does: words
// separated by white space, a backslash before a character taken as it is.
// Only settings (-c name=value, --name=value) are known.
func splitOptions(options string) ([]param, error) {
	var words []string
	var word strings.Builder
	in := false
	for i := 0; i < len(options); i++ {
		c := options[i]
		switch {
		case strings.IndexByte(" \t\n\v\f\r", c) >= 0:
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
			continue
		case c == '\\' && i+1 < len(options):
			i++
			c = options[i]
		}
		in = true
		word.WriteByte(c)
	}
	if in {
		words = append(words, word.String())
	}
	return settingWords(words)
}

func settingWords(words []string) ([]param, error) {
	var params []param
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "-c" && i+1 < len(words):
			i++
			w = words[i]
		case strings.HasPrefix(w, "-c") && w != "-c":
			w = w[2:]
		case strings.HasPrefix(w, "--"):
			w = w[2:]
		default:
			return nil, newFatal("42501", "startup option %q is not open to callers with restrictions", w)
		}
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return nil, newFatal("42601", "startup option %q has no value", w)
		}
		params = append(params, param{strings.ReplaceAll(name, "-", "_"), value})
	}
	return params, nil
}

// purpose gives the purpose that the client asks for at startup.
func purpose(settings []param) string {
	value := ""
	for _, p := range settings {
		if strings.EqualFold(p.name, rewrite.PurposeSetting) {
			value = p.value
		}
	}
	return value
}

// message gives the StartupMessage for the server: the client's own
// parameters, and the keys of keyed masks.
func (s *startup) message(keys map[string]string) []byte {
	var body []byte
	add := func(name, value string) { body = append(append(append(append(body, name...), 0), value...), 0) }
	for _, p := range s.params {
		add(p.name, p.value)
	}
	for name, value := range keys {
		add(name, value)
	}
	body = append(body, 0)
	var b []byte
	b = binary.BigEndian.AppendUint32(b, uint32(8+len(body)))
	b = binary.BigEndian.AppendUint32(b, protocol3)
	return append(b, body...)
}

// newSecret makes the secret of a cancel key, of the length that protocol 3.0
// has.
func newSecret() []byte {
	secret := make([]byte, 4)
	if _, err := rand.Read(secret); err != nil {
		panic(fmt.Sprintf("proxy: no randomness: %v", err)) // crypto/rand documents that it never fails
	}
	return secret
}
