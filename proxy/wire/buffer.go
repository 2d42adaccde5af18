package wire

import "sync"

// pooled is the size of the buffers that readers and writers share. Larger
// ones are made for a message and dropped after it.
const pooled = 16 << 10

var buffers = sync.Pool{New: func() any { return new([pooled]byte) }}

func getBuffer() []byte { return buffers.Get().(*[pooled]byte)[:] }

// bufferFor gives a buffer of n bytes at least.
func bufferFor(n int) []byte {
	if n <= pooled {
		return getBuffer()
	}
	return make([]byte, 2*n)
}

// putBuffer gives a buffer back whose bytes nobody uses any more.
func putBuffer(b []byte) {
	if cap(b) == pooled {
		buffers.Put((*[pooled]byte)(b[:pooled]))
	}
}
