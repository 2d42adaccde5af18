package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// stream is a client that moves many rows and looks at no more of them than
// their heads, so that what is measured is what lies between it and the server.
type stream struct {
	conn net.Conn
	r    *bufio.Reader
	rows int
}

// streamBuffer is what the client reads at once.
const streamBuffer = 256 << 10

// openStream logs in.
func (b *bench) openStream(ctx context.Context, r *running) (*stream, error) {
	c, err := pgconn.Connect(ctx, b.clientDSN(r))
	if err != nil {
		return nil, err
	}
	h, err := c.Hijack()
	if err != nil {
		return nil, err
	}
	return &stream{conn: h.Conn, r: bufio.NewReaderSize(h.Conn, streamBuffer)}, nil
}

// stream does one thing with a contender's stream and gives the rate, in rows
// a second, and what a row costs the contender.
func (b *bench) stream(ctx context.Context, r *running, wanted int, do func(*stream) error) (sample, error) {
	s, err := b.openStream(ctx, r)
	if err != nil {
		return sample{}, fmt.Errorf("stream through %s: %w\n%s", r.name, err, r.tail())
	}
	defer s.conn.Close()
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	defer stop()
	before, err := r.cpu()
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	if err := do(s); err != nil {
		return sample{}, fmt.Errorf("stream through %s: %w\n%s", r.name, errors.Join(ctx.Err(), err), r.tail())
	}
	took := time.Since(start)
	after, err := r.cpu()
	if s.rows != wanted {
		return sample{}, fmt.Errorf("stream through %s: %d rows where %d are expected", r.name, s.rows, wanted)
	}
	return sample{Rate: float64(wanted) / took.Seconds(), CPU: micros(after-before) / float64(wanted)}, err
}

// out sends a query and counts the rows of its answer: of a SELECT or of a
// COPY to the client.
func (s *stream) out(sql string) error {
	if err := s.query(sql); err != nil {
		return err
	}
	return s.read('Z')
}

// in sends rows of COPY data, in frames of a block each, and counts those that
// the server says it took.
func (s *stream) in(sql string, row string, rows int) error {
	if err := s.query(sql); err != nil {
		return err
	}
	if err := s.read('G'); err != nil {
		return err
	}
	const perBlock = 500
	block := frame('d', strings.Repeat(row, perBlock))
	for ; rows >= perBlock; rows -= perBlock {
		if _, err := s.conn.Write(block); err != nil {
			return err
		}
	}
	end := append(frame('d', strings.Repeat(row, rows)), frame('c', "")...)
	if _, err := s.conn.Write(end); err != nil {
		return err
	}
	return s.read('Z')
}

func (s *stream) query(sql string) error {
	_, err := s.conn.Write(frame('Q', sql+"\x00"))
	return err
}

// frame gives a message of the protocol.
func frame(typ byte, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{typ}, uint32(4+len(body))), body...)
}

// read reads messages up to one of the type until. An error that the server
// tells is one.
func (s *stream) read(until byte) error {
	for {
		head, err := s.r.Peek(5)
		if err != nil {
			return err
		}
		typ, length := head[0], 1+int(binary.BigEndian.Uint32(head[1:]))
		switch typ {
		case 'D', 'd':
			s.rows++
		case 'C', 'E':
			if err := s.told(typ, length); err != nil {
				return err
			}
		}
		if _, err := s.r.Discard(length); err != nil {
			return err
		}
		if typ == until {
			return nil
		}
	}
}

// told reads an error, or how many rows a COPY took.
func (s *stream) told(typ byte, length int) error {
	message, err := s.r.Peek(length)
	if err != nil {
		return err
	}
	if typ == 'E' {
		var e pgproto3.ErrorResponse
		if err := e.Decode(message[5:]); err != nil {
			return err
		}
		return fmt.Errorf("the server: %s (SQLSTATE %s)", e.Message, e.Code)
	}
	tag := strings.TrimRight(string(message[5:]), "\x00")
	if n, ok := strings.CutPrefix(tag, "COPY "); ok {
		s.rows, err = strconv.Atoi(n)
	}
	return err
}
