package proxy

import (
	"errors"
	"io"
	"net"
	"runtime/debug"
	"time"
	"unsafe"

	"github.com/pgveil/pgveil/proxy/wire"
)

func stack() string { return string(debug.Stack()) }

// view gives bytes as a string, which is valid for as long as they are.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// goodbyeTo tells a client that is not logged in why its connection ends. It
// may be one that does not read.
func goodbyeTo(conn net.Conn, f *fatal) {
	if err := conn.SetDeadline(time.Now().Add(lastWords)); err != nil {
		return
	}
	w := wire.NewWriter(conn)
	w.Frame('E', wire.AppendFields(nil, f.fields("FATAL")))
	_ = w.Flush() // it is lost already
}
