package proxy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pgveil/pgveil/proxy/wire"
)

const (
	// newestMinor is that of the newest protocol version that pgveil relays,
	// 3.2. A server is never asked for a newer one: it may have messages that
	// nobody here knows.
	newestMinor = 2
	// longKeys is the minor version from which on a cancel key may be long.
	longKeys = 2

	// Lengths of the secret in a cancel key: what protocol 3.0 fixes, what
	// PostgreSQL 18 makes in 3.2, and the most that 3.2 allows.
	shortSecret, longSecret, maxSecret = 4, 32, 256
)

// negotiate tells a client that asked for a newer protocol than the server
// speaks, or for protocol options, what it gets. It is the server that says how
// new it is. What it said last counts: 3.0 and 3.2 differ in cancel keys alone,
// and those that clients get are pgveil's own.
func (srv *Server) negotiate(ctx context.Context, st *startup, w *wire.Writer) error {
	asked := st.minor
	st.minor = min(asked, newestMinor)
	if st.minor > 0 {
		newest, err := srv.newest(ctx, st)
		if err != nil {
			return err
		}
		st.minor = min(st.minor, newest)
	}
	if st.minor == asked && len(st.options) == 0 {
		return nil
	}
	var b []byte
	b = binary.BigEndian.AppendUint32(b, uint32(protocol3+st.minor))
	b = binary.BigEndian.AppendUint32(b, uint32(len(st.options)))
	for _, name := range st.options {
		b = append(append(b, name...), 0)
	}
	w.Frame('v', b)
	return nil
}

// newest gives the newest minor version of the first host that can be reached,
// and asks one that has not said yet.
func (srv *Server) newest(ctx context.Context, st *startup) (int, error) {
	var errs []error
	for _, h := range srv.upstream.order() {
		minor, known := srv.upstream.spoken(h)
		if known {
			return minor, nil
		}
		minor, err := srv.upstream.probe(ctx, h, st)
		if err == nil {
			return minor, nil
		}
		errs = append(errs, err)
	}
	return 0, newFatal("08001", "the server cannot be reached: %w", errors.Join(errs...))
}

// probe asks a host for the newest version, over a connection of its own that
// ends before the server has asked for a proof.
func (u *servers) probe(ctx context.Context, h Host, st *startup) (minor int, err error) {
	bare := st.bare()
	bare.minor = newestMinor
	conn, r, err := u.reach(ctx, h, bare.message(nil))
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { expire(conn) })
	defer func() {
		stop()
		err = errors.Join(err, conn.Close())
	}()
	frame, err := r.Whole(maxAnswer)
	if err != nil {
		return 0, fmt.Errorf("first answer of %s: %w", h.Address, err)
	}
	minor = newestMinor
	if frame[0] == 'v' {
		minor, err = negotiated(frame[wire.HeadLen:], newestMinor)
	}
	if err == nil {
		u.speaks(h, minor)
	}
	return minor, err
}

// negotiated reads a NegotiateProtocolVersion that answers a StartupMessage of
// a minor version without protocol options.
func negotiated(body []byte, asked int) (int, error) {
	if len(body) != 8 {
		return 0, errors.New("malformed NegotiateProtocolVersion")
	}
	version, options := binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
	minor := int(version & 0xffff)
	// The protocol's description can be read so that the minor version stands
	// there alone.
	if major := version >> 16; major != 3 && major != 0 || minor > asked || options != 0 {
		return 0, fmt.Errorf("the server negotiates %d.%d with %d options where 3.%d was asked for", version>>16, minor, options, asked)
	}
	return minor, nil
}

// newSecret makes the secret of a cancel key, as long as PostgreSQL makes it in
// that version.
func newSecret(minor int) []byte {
	secret := make([]byte, shortSecret, longSecret)
	if minor >= longKeys {
		secret = secret[:longSecret]
	}
	rand.Read(secret) // never fails
	return secret
}
