package auth

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// message is one message of a script or a transcript.
type message struct {
	typ  byte
	body string
}

// tape is a Conn whose peer follows a script: each step gives the next message,
// from what was sent last. After the last step the peer has hung up.
type tape struct {
	script []func(last message) message
	sent   []message
}

// says is a step that does not depend on what was sent.
func says(typ byte, body string) func(message) message {
	return func(message) message { return message{typ, body} }
}

// asks is a step that sends an Authentication… message.
func asks(code uint32, data string) func(message) message {
	return says(msgAuthentication, string(binary.BigEndian.AppendUint32(nil, code))+data)
}

func (t *tape) Send(typ byte, body []byte) error {
	t.sent = append(t.sent, message{typ, string(body)})
	return nil
}

func (t *tape) Flush() error { return nil }

func (t *tape) Receive(limit int) (byte, []byte, error) {
	if len(t.script) == 0 {
		return 0, nil, io.EOF
	}
	var last message
	if len(t.sent) > 0 {
		last = t.sent[len(t.sent)-1]
	}
	m := t.script[0](last)
	t.script = t.script[1:]
	if len(m.body) > limit {
		return 0, nil, errTooLong
	}
	return m.typ, []byte(m.body), nil
}

var errTooLong = errors.New("message over the limit")

// socket is a Conn over a network connection, and keeps a transcript.
type socket struct {
	net.Conn
	r          *bufio.Reader
	w          *bufio.Writer
	transcript []string
}

func newSocket(c net.Conn) *socket {
	return &socket{Conn: c, r: bufio.NewReader(c), w: bufio.NewWriter(c)}
}

func (s *socket) note(direction string, typ byte, length int) {
	s.transcript = append(s.transcript, fmt.Sprintf("%s %c %d", direction, typ, length))
}

func (s *socket) Send(typ byte, body []byte) error {
	s.note("sent", typ, len(body))
	head := binary.BigEndian.AppendUint32([]byte{typ}, uint32(len(body)+4))
	_, err := s.w.Write(append(head, body...))
	return err
}

func (s *socket) Flush() error { return s.w.Flush() }

func (s *socket) Receive(limit int) (byte, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return 0, nil, err
	}
	length := int64(binary.BigEndian.Uint32(head[1:])) - 4
	if length < 0 || length > int64(limit) {
		return 0, nil, errTooLong
	}
	body := make([]byte, length)
	_, err := io.ReadFull(s.r, body)
	s.note("received", head[0], len(body))
	return head[0], body, err
}
