package auth

import (
	"context"
	"encoding/binary"
	"fmt"
)

// Conn carries whole messages during login, to a client or to the server.
//
// The functions of this package take a context, yet a Conn's calls do not: the
// owner of the socket must make a blocked call return when the context ends, by
// setting the socket's deadline (context.AfterFunc). In between calls the
// context is looked at here.
type Conn interface {
	// Send puts a message into a buffer; it may be written at once when the
	// buffer is full. It does not keep body.
	Send(typ byte, body []byte) error
	// Flush writes what was sent so far.
	Flush() error
	// Receive returns the next message. It refuses one whose body is longer
	// than limit before it allocates or reads the body. The body is valid until
	// the next Receive.
	Receive(limit int) (typ byte, body []byte, err error)
}

// Types of the messages that make up a login.
const (
	msgAuthentication = 'R' // from the server: all Authentication… messages
	msgError          = 'E' // from the server
	msgNegotiate      = 'v' // from the server: NegotiateProtocolVersion
	msgPassword       = 'p' // from the client: all answers to 'R'
)

// Codes that begin an Authentication… message.
const (
	authOK           = 0
	authCleartext    = 3
	authMD5          = 5
	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12
)

// Limits on what an unauthenticated peer may make us hold. The first two are the
// server's own (PG_MAX_AUTH_TOKEN_LENGTH, PG_MAX_SASL_MESSAGE_LENGTH); the last
// leaves room for any ErrorResponse that libpq would accept in place of a login.
const (
	maxPassword = 65535
	maxSASL     = 1024
	maxServer   = 32 << 10
)

// sendAuth asks a client for something and waits for no answer.
func sendAuth(c Conn, code uint32, data string) error {
	body := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(data)), code)
	if err := c.Send(msgAuthentication, append(body, data...)); err != nil {
		return fmt.Errorf("send authentication request: %w", err)
	}
	return nil
}

// answer flushes what was asked and returns the client's answer. A client that
// hangs up instead (psql does, to prompt for the password) gives the Conn's own
// error, wrapped.
func answer(ctx context.Context, c Conn, limit int) ([]byte, error) {
	if err := c.Flush(); err != nil {
		return nil, fmt.Errorf("send authentication request: %w", err)
	}
	typ, body, err := receive(ctx, c, limit)
	if err != nil {
		return nil, fmt.Errorf("receive password message: %w", err)
	}
	if typ != msgPassword {
		return nil, violation(fmt.Sprintf("expected password response, got message type %d", typ))
	}
	return body, nil
}

// receive is Receive with the context's own reason for an early end.
func receive(ctx context.Context, c Conn, limit int) (byte, []byte, error) {
	if ctx.Err() != nil {
		return 0, nil, context.Cause(ctx)
	}
	typ, body, err := c.Receive(limit)
	if err != nil && ctx.Err() != nil {
		return 0, nil, fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return typ, body, err
}
