package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/proxy/wire"
)

func frame(typ byte, body string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{typ}, uint32(len(body)+4))
	return append(b, body...)
}

// frames makes a stream of frames of all sizes around the buffers'.
func frames() []byte {
	var b []byte
	for i, n := range []int{0, 1, 2, 27, 100, 63, 64, 65, 500, 0, 4096, 3} {
		b = append(b, frame(byte('a'+i), string(bytes.Repeat([]byte{byte(i)}, n)))...)
	}
	return b
}

// TestReaderWhole reads frames in every way in which their bytes can arrive.
func TestReaderWhole(t *testing.T) {
	stream := frames()
	for name, src := range map[string]io.Reader{
		"all at once":      bytes.NewReader(stream),
		"byte by byte":     iotest.OneByteReader(bytes.NewReader(stream)),
		"half":             iotest.HalfReader(bytes.NewReader(stream)),
		"the end with it":  iotest.DataErrReader(bytes.NewReader(stream)),
		"in random pieces": &pieces{bytes.NewReader(stream)},
	} {
		t.Run(name, func(t *testing.T) {
			r := wire.NewReader(src)
			var got []byte
			for {
				f, err := r.Whole(1 << 20)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, f...)
			}
			if !bytes.Equal(got, stream) {
				t.Errorf("%d bytes, want %d", len(got), len(stream))
			}
		})
	}
}

// pieces gives a few bytes a read.
type pieces struct{ r io.Reader }

func (p *pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), 1+rand.IntN(7))]) }

func TestReaderRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bytes string
		want  error
	}{
		{"nothing", "", io.EOF},
		{"part of a head", "Q\x00\x00", io.ErrUnexpectedEOF},
		{"part of a body", "Q\x00\x00\x00\x08ab", io.ErrUnexpectedEOF},
		{"a length of zero", "Q\x00\x00\x00\x00", wire.ErrFrame},
		{"a length of three", "Q\x00\x00\x00\x03", wire.ErrFrame},
		{"a length over PostgreSQL's limit", "Q\x40\x00\x00\x00", wire.ErrFrame},
		{"a negative length", "Q\xff\xff\xff\xff", wire.ErrFrame},
		{"a length over the caller's limit", "Q\x00\x00\x10\x00", wire.ErrFrame},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := wire.NewReader(bytes.NewReader([]byte(tt.bytes))).Whole(1000)
			if !errors.Is(err, tt.want) {
				t.Errorf("Whole(%q) = %v, want %v", tt.bytes, err, tt.want)
			}
		})
	}
}

// TestReaderGrowsByWhatArrives promises a long frame and sends little of it.
func TestReaderGrowsByWhatArrives(t *testing.T) {
	head := []byte("D\x3f\xff\xff\xff")
	allocated := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			_, _ = wire.NewReader(bytes.NewReader(head)).Whole(wire.MaxFrame)
		}
	}).AllocedBytesPerOp()
	if allocated > 1<<10 {
		t.Errorf("a head that promises a gigabyte took %d bytes", allocated)
	}
}

// TestWriterKeepsOrder mixes every way to add bytes.
func TestWriterKeepsOrder(t *testing.T) {
	r := wire.NewReader(bytes.NewReader(frames()))
	if err := r.Fill(300); err != nil {
		t.Fatal(err)
	}
	var dst writes
	w := wire.NewWriter(&dst)
	var want []byte
	take := func(n int) []byte {
		b := r.Take(n)
		want = append(want, b...)
		return b
	}
	w.Pass(take(20))
	w.Pass(take(30)) // lies beside it
	w.Pass(nil)
	w.Frame('X', []byte("one"), nil, []byte("two"))
	want = append(want, frame('X', "onetwo")...)
	w.Pass(take(10))
	r.Take(7) // is left out
	w.Pass(take(10))
	w.Copy([]byte("copied"))
	want = append(want, "copied"...)
	w.Pass(take(5))
	if !w.Pending() {
		t.Error("nothing is pending")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := bytes.Join(dst, nil); !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if len(dst) != 1 {
		t.Errorf("%d writes, want 1", len(dst))
	}
	if w.Pending() || w.Flush() != nil || len(dst) != 1 {
		t.Error("there is more after Flush")
	}
}

type writes [][]byte

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, bytes.Clone(p))
	return len(p), nil
}

// TestWriterPassesWithoutCopying sends what lies side by side in one write, from
// where it lies.
func TestWriterPassesWithoutCopying(t *testing.T) {
	stream := frames()
	r := wire.NewReader(bytes.NewReader(stream))
	if err := r.Fill(len(stream)); err != nil {
		t.Fatal(err)
	}
	w := wire.NewWriter(io.Discard)
	allocs := testing.AllocsPerRun(1, func() {
		for range 10 {
			_, n, ok, err := r.Head()
			if err != nil || !ok {
				return
			}
			w.Pass(r.Take(n))
		}
		if err := w.Flush(); err != nil {
			t.Error(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestBody(t *testing.T) {
	b := wire.BodyOf(frame('x', "name\x00\x07\xff\xfe\x00\x00\x00\x05rest\x00"))
	if got := string(b.String()); got != "name" {
		t.Errorf("String() = %q", got)
	}
	if got := b.Byte(); got != 7 {
		t.Errorf("Byte() = %d", got)
	}
	if got := b.Int16(); got != -2 {
		t.Errorf("Int16() = %d", got)
	}
	if got := b.Int32(); got != 5 {
		t.Errorf("Int32() = %d", got)
	}
	if got := string(b.Bytes(4)); got != "rest" || b.Err() != nil {
		t.Errorf("Bytes(4) = %q, %v", got, b.Err())
	}
	if got := b.Int32(); got != 0 || !errors.Is(b.Err(), wire.ErrFrame) {
		t.Errorf("Int32() of one byte = %d, %v", got, b.Err())
	}
	if got := b.Byte(); got != 0 || len(b.Rest()) != 0 {
		t.Errorf("Byte() after an error = %d, with %q left", got, b.Rest())
	}
	for _, n := range []int{-1, 1, 1 << 30} {
		b := wire.BodyOf(frame('x', ""))
		if got := b.Bytes(n); got != nil || b.Err() == nil {
			t.Errorf("Bytes(%d) of nothing = %q, %v", n, got, b.Err())
		}
	}
}

func TestFields(t *testing.T) {
	want := []wire.Field{{Type: 'S', Value: "ERROR"}, {Type: 'C', Value: "42501"}, {Type: 'M', Value: "no"}}
	got, err := wire.Fields(frame('E', string(wire.AppendFields(nil, want))))
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("Fields = %v, %v; want %v", got, err, want)
	}
	for _, body := range []string{"", "S", "SERROR", "SERROR\x00", "SERROR\x00M"} {
		if got, err := wire.Fields(frame('E', body)); err == nil {
			t.Errorf("Fields(%q) = %v, want an error", body, got)
		}
	}
	if got := wire.AppendFields(nil, []wire.Field{{Type: 'D'}, {Type: 'M', Value: "x"}}); string(got) != "Mx\x00\x00" {
		t.Errorf("an empty field is written: %q", got)
	}
}

// FuzzReader reads any bytes in any pieces: what comes out is what went in, in
// frames as long as their heads say.
func FuzzReader(f *testing.F) {
	f.Add(frames(), uint8(3))
	f.Add([]byte("Q\x00\x00\x00\x03"), uint8(1))
	f.Add([]byte("D\x3f\xff\xff\xffabc"), uint8(200))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		r := wire.NewReader(&limited{bytes.NewReader(stream), int(piece) + 1})
		var got []byte
		for {
			b, err := r.Whole(1 << 16)
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, wire.ErrFrame) {
					t.Fatal(err)
				}
				break
			}
			if n := binary.BigEndian.Uint32(b[1:]); int(n)+1 != len(b) {
				t.Fatalf("a frame of %d bytes says %d", len(b), n)
			}
			got = append(got, b...)
		}
		if !bytes.HasPrefix(stream, got) {
			t.Errorf("read %q from %q", got, stream)
		}
	})
}

type limited struct {
	r io.Reader
	n int
}

func (l *limited) Read(b []byte) (int, error) { return l.r.Read(b[:min(len(b), l.n)]) }

// FuzzFields takes any body apart; what can be taken apart is put together
// again to the same.
func FuzzFields(f *testing.F) {
	f.Add([]byte("SERROR\x00C42501\x00Mno\x00\x00"))
	f.Add([]byte("S\x00\x00"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		fields, err := wire.Fields(frame('E', string(body)))
		if err != nil {
			return
		}
		again, err := wire.Fields(frame('E', string(wire.AppendFields(nil, fields))))
		if err != nil {
			t.Fatal(err)
		}
		var kept []wire.Field
		for _, x := range fields {
			if x.Value != "" {
				kept = append(kept, x)
			}
		}
		if !cmp.Equal(kept, again) {
			t.Errorf("%v became %v", kept, again)
		}
	})
}

// BenchmarkPass relays rows as a session does: frame by frame, in batches of
// what a read gives.
func BenchmarkPass(b *testing.B) {
	row := frame('D', string(make([]byte, 120)))
	stream := bytes.Repeat(row, 1<<20/len(row))
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	src := bytes.NewReader(nil)
	r, w := wire.NewReader(src), wire.NewWriter(io.Discard)
	for b.Loop() {
		src.Reset(stream)
		for {
			_, n, ok, err := r.Head()
			if err != nil {
				b.Fatal(err)
			}
			if !ok || r.Buffered() < n {
				if err := w.Flush(); err != nil {
					b.Fatal(err)
				}
				if err := r.Fill(max(wire.HeadLen, r.Buffered()+1)); err == io.EOF {
					break
				} else if err != nil {
					b.Fatal(err)
				}
				continue
			}
			w.Pass(r.Take(n))
		}
	}
}
