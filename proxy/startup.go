package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

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
	conn    net.Conn
	front   *front   // TLS towards clients when the connection began
	params  []param  // in the order sent, without protocol options
	options []string // names of protocol options: none is known
	minor   int      // of the protocol version asked for and, once negotiated, of the one spoken
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
// exactly what it expects, so nothing sent in clear is taken as under TLS. at is
// the connection as it then is: where an error is to be told.
func (srv *Server) greet(ctx context.Context, conn net.Conn) (st *startup, at net.Conn, err error) {
	askedTLS, askedGSS := false, false
	front := srv.front.Load()
	for {
		code, body, secured, err := front.packet(ctx, conn, !askedTLS)
		conn = secured
		if err != nil {
			return nil, conn, err
		}
		switch code {
		case sslCode:
			if askedTLS {
				return nil, conn, newFatal("08P01", "TLS was asked for twice")
			}
			askedTLS = true
			if conn, err = front.offer(ctx, conn); err != nil {
				return nil, conn, err
			}
		case gssCode:
			if askedGSS {
				return nil, conn, newFatal("08P01", "GSSAPI encryption was asked for twice")
			}
			askedGSS = true
			if _, err := conn.Write([]byte{'N'}); err != nil {
				return nil, conn, err
			}
		case cancelCode:
			return nil, conn, errors.Join(errCancelled, srv.cancel(ctx, body))
		default:
			st, err := startupMessage(conn, front, code, body)
			return st, conn, err
		}
	}
}

// packet reads one packet of the startup phase. A connection that begins with
// a TLS handshake is secured first, where that may be.
func (f *front) packet(ctx context.Context, conn net.Conn, mayTLS bool) (code uint32, body []byte, secured net.Conn, err error) {
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:1]); err != nil {
		return 0, nil, conn, err
	}
	if head[0] == tlsHandshake && mayTLS && f != nil {
		if conn, err = f.direct(ctx, conn, head[0]); err != nil {
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

func (f *front) offer(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if _, ok := conn.(*tls.Conn); ok || f == nil {
		_, err := conn.Write([]byte{'N'})
		return conn, err
	}
	if _, err := conn.Write([]byte{'S'}); err != nil {
		return conn, err
	}
	c := tls.Server(&plug{conn}, f.config)
	return c, c.HandshakeContext(ctx)
}

// direct secures a connection that begins with the handshake. The client
// must then say which protocol it means.
func (f *front) direct(ctx context.Context, conn net.Conn, first byte) (net.Conn, error) {
	c := tls.Server(&plug{&prefixed{Conn: conn, r: io.MultiReader(bytes.NewReader([]byte{first}), conn)}}, f.config)
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
func startupMessage(conn net.Conn, front *front, version uint32, body []byte) (*startup, error) {
	if version>>16 != 3 {
		return nil, refuseVersion(conn, version)
	}
	st := &startup{conn: conn, front: front, minor: int(version & 0xffff)}
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
		if err := st.add(string(name), string(value)); err != nil {
			return nil, err
		}
		body = rest
	}
	return st, st.check()
}

// refuseVersion refuses another protocol in PostgreSQL's words, which protocols
// 1 and 2 know as a text alone.
func refuseVersion(conn net.Conn, version uint32) error {
	major, minor := version>>16, version&0xffff
	f := newFatal("0A000", "unsupported frontend protocol %d.%d: server supports 3.0 to 3.%d", major, minor, newestMinor)
	if major != 1 && major != 2 {
		return f
	}
	_, err := fmt.Fprintf(conn, "EFATAL:  %s\n\x00", f.Message)
	return errors.Join(errors.New(f.Message), err)
}

// add takes one parameter. Which of two values would count is the server's
// business to decide, and must not be ours to guess: it is refused.
func (s *startup) add(name, value string) error {
	if strings.HasPrefix(name, "_pq_.") {
		s.options = append(s.options, name)
		return nil
	}
	if slices.ContainsFunc(s.params, func(p param) bool { return p.name == name }) {
		return newFatal("08P01", "startup parameter %q is given twice", name)
	}
	s.params = append(s.params, param{name, value})
	return nil
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

// startupAsker gives what the client says at startup of who asks.
func startupAsker(settings []param) (a asker) {
	for _, p := range settings {
		switch strings.ToLower(p.name) {
		case rewrite.UserSetting:
			a.user = p.value
		case rewrite.PurposeSetting:
			a.purpose = p.value
		case rewrite.TokenSetting:
			a.token = p.value
		case rewrite.TicketSetting:
			a.ticket = p.value
		}
	}
	return a
}

// bare is a startup that asks for nothing but to be let in.
func (s *startup) bare() *startup {
	return &startup{params: []param{{"user", s.get("user")}, {"database", s.get("database")}}, minor: s.minor}
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
	b = binary.BigEndian.AppendUint32(b, uint32(protocol3+s.minor))
	return append(b, body...)
}
