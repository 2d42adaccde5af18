package valkey

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// conn is a connection to the server, in version 2 of its protocol.
type conn struct {
	net.Conn
	r   *bufio.Reader
	out []byte
}

// maxLine is how long a line of an answer may be. It holds the reasons that
// servers give.
const maxLine = 4096

var (
	errAnswer = errors.New("the answer is none that was asked for")
	errLong   = errors.New("the answer is longer than what was asked for")
)

// refused is an error that the server gave, whose first word says which.
type refused string

func (r refused) Error() string {
	return "the server says: " + strconv.QuoteToASCII(string(r[:min(len(r), 200)]))
}

// dial connects and logs in.
func dial(ctx context.Context, o *Options) (*conn, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", o.Address)
	if err != nil {
		return nil, err
	}
	if o.TLS != nil {
		secured := tls.Client(raw, o.TLS)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, raw.Close())
		}
		raw = secured
	}
	c := &conn{Conn: raw, r: bufio.NewReaderSize(raw, maxLine)}
	if err := c.login(ctx, o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *conn) login(ctx context.Context, o *Options) error {
	if o.Password != nil {
		password, err := o.Password()
		if err != nil {
			return err
		}
		args := []string{"AUTH", o.User, password}
		if o.User == "" {
			args = []string{"AUTH", password}
		}
		if err := c.tell(ctx, args...); err != nil {
			return fmt.Errorf("log in: %w", err)
		}
	}
	if o.Database == 0 {
		return nil
	}
	if err := c.tell(ctx, "SELECT", strconv.Itoa(o.Database)); err != nil {
		return fmt.Errorf("choose database %d: %w", o.Database, err)
	}
	return nil
}

// tell runs a command that says OK.
func (c *conn) tell(ctx context.Context, args ...string) error {
	if err := c.send(ctx, args); err != nil {
		return err
	}
	line, err := c.line()
	if err == nil && string(line) != "+OK" {
		err = errAnswer
	}
	return err
}

// ask runs a command that gives at most so many numbers.
func (c *conn) ask(ctx context.Context, most int, args []string) ([]int64, error) {
	if err := c.send(ctx, args); err != nil {
		return nil, err
	}
	n, err := c.number('*')
	if err != nil {
		return nil, err
	}
	if n < 0 || n > int64(most) {
		return nil, errLong
	}
	numbers := make([]int64, n)
	for i := range numbers {
		if numbers[i], err = c.number(':'); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// send writes a command. Until the context's deadline there must be an answer.
func (c *conn) send(ctx context.Context, args []string) error {
	deadline, _ := ctx.Deadline() // none, where there is none
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	b := append(strconv.AppendInt(append(c.out[:0], '*'), int64(len(args)), 10), "\r\n"...)
	for _, a := range args {
		b = append(strconv.AppendInt(append(b, '$'), int64(len(a)), 10), "\r\n"...)
		b = append(append(b, a...), "\r\n"...)
	}
	c.out = b
	_, err := c.Write(b)
	return err
}

// number reads a line of a kind.
func (c *conn) number(kind byte) (int64, error) {
	line, err := c.line()
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, errAnswer
	}
	n, err := strconv.ParseInt(string(line[1:]), 10, 64)
	if err != nil {
		return 0, errAnswer
	}
	return n, nil
}

// line reads a line, which is not empty. One that says an error becomes one.
func (c *conn) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errLong
	}
	if err != nil {
		return nil, err
	}
	n := len(line) - 2
	if n < 1 || line[n] != '\r' {
		return nil, errAnswer
	}
	if line[0] == '-' {
		return nil, refused(line[1:n])
	}
	return line[:n], nil
}

// pool holds connections that are open, and bounds how many there are.
type pool struct {
	o    *Options
	free chan *conn // nil: one that is to be opened yet
}

// poolSize is how many scripts of a process may be under way. The server runs one
// at a time.
const poolSize = 4

func newPool(o *Options) *pool {
	p := &pool{o: o, free: make(chan *conn, poolSize)}
	for range poolSize {
		p.free <- nil
	}
	return p
}

// do runs act on a connection. One that was open already may have ended since, and
// act is run again on a new one: it must not matter whether it had been run.
func (p *pool) do(ctx context.Context, act func(*conn) error) error {
	var c *conn
	select {
	case c = <-p.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	var err error
	if c != nil {
		if err = act(c); err == nil || !gone(err) {
			p.put(c, err)
			return err
		}
		_ = c.Close() // it has ended
		p.drop()
	}
	if c, err = dial(ctx, p.o); err == nil {
		err = act(c)
	}
	p.put(c, err)
	return err
}

// put gives a connection back. After a failure nobody knows what its next answer
// would be of, or whether the server is still the one to ask; a script that it does
// not know is none.
func (p *pool) put(c *conn, err error) {
	if c != nil && err != nil && !noScript(err) {
		_ = c.Close() // nobody can be told
		c = nil
	}
	p.free <- c
}

func noScript(err error) bool {
	var said refused
	return errors.As(err, &said) && strings.HasPrefix(string(said), "NOSCRIPT")
}

// drop closes what nobody uses: it is as old as what has ended.
func (p *pool) drop() {
	for range len(p.free) {
		select {
		case c := <-p.free:
			if c != nil {
				_ = c.Close() // nobody can be told
			}
			p.free <- nil
		default:
			return
		}
	}
}

// gone tells whether a connection has ended, and nothing else is wrong.
func gone(err error) bool {
	var said refused
	var network net.Error
	switch {
	case errors.As(err, &said), errors.Is(err, errAnswer), errors.Is(err, errLong):
		return false
	case errors.As(err, &network):
		return !network.Timeout()
	default:
		return true
	}
}

// close closes all connections, and waits for those in use.
func (p *pool) close(wait time.Duration) error {
	late := time.After(wait)
	for range poolSize {
		select {
		case c := <-p.free:
			if c != nil {
				_ = c.Close()
			}
		case <-late:
			return errors.New("limits: a question to the server is still under way")
		}
	}
	return nil
}
