package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The layout that doc.go specifies.
const (
	magic   = "pgveilau"
	version = 1

	headerSize = 96
	markAt     = 56
	lastAt     = 64
	bootAt     = 72

	frameSize = 49 // before the payload
	seqAt     = 8
	kindAt    = 16
	chainAt   = 17
	maxFrame  = frameSize + maxPayload
)

type hash = [sha256.Size]byte

// bootID names one run of the operating system. The zero value is unknown.
type bootID = [16]byte

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the start of a segment. The first two fields never change; the
// others are kept current and are outside the checksum.
type header struct {
	first uint64 // seq of the segment's first record; the segment's id
	chain hash   // chain hash before it
	mark  uint64 // every record with a lower seq was durable when this was written
	last  uint64 // offset of the last frame once the segment is sealed; 0 before
	boot  bootID // the run of the operating system that wrote last
}

func (h *header) encode(b []byte) {
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint64(b[16:], h.first)
	copy(b[24:], h.chain[:])
	binary.LittleEndian.PutUint64(b[markAt:], h.mark)
	binary.LittleEndian.PutUint64(b[lastAt:], h.last)
	copy(b[bootAt:], h.boot[:])
	binary.LittleEndian.PutUint32(b[12:], headerChecksum(b))
}

func decodeHeader(b []byte) (header, error) {
	switch {
	case len(b) < headerSize:
		return header{}, fmt.Errorf("the header is cut short")
	case string(b[:8]) != magic:
		return header{}, fmt.Errorf("the header is not that of an audit segment")
	case binary.LittleEndian.Uint32(b[8:]) != version:
		return header{}, fmt.Errorf("the format version is %d; this program reads %d", binary.LittleEndian.Uint32(b[8:]), version)
	case binary.LittleEndian.Uint32(b[12:]) != headerChecksum(b):
		return header{}, fmt.Errorf("the header's checksum does not match")
	}
	return header{
		first: binary.LittleEndian.Uint64(b[16:]),
		chain: hash(b[24:]),
		mark:  binary.LittleEndian.Uint64(b[markAt:]),
		last:  binary.LittleEndian.Uint64(b[lastAt:]),
		boot:  bootID(b[bootAt:]),
	}, nil
}

// headerChecksum covers what never changes, and the unused end.
func headerChecksum(b []byte) uint32 {
	sum := crc32.Checksum(b[:12], castagnoli)
	sum = crc32.Update(sum, castagnoli, b[16:markAt])
	return crc32.Update(sum, castagnoli, b[bootAt+16:headerSize])
}

// idSum begins the checksum of every frame in a segment. With the segment's id
// in it, bytes that once were a frame of another segment never pass for one of
// this.
func idSum(first uint64) uint32 {
	return crc32.Checksum(binary.LittleEndian.AppendUint64(nil, first), castagnoli)
}

// checksum covers everything in a frame that follows the checksum.
func checksum(idSum uint32, rest []byte) uint32 { return crc32.Update(idSum, castagnoli, rest) }

// kindByte gives a kind's byte in a frame; 0 when it is none of the kinds.
func kindByte(k Kind) byte {
	return byte(slices.Index(kinds[:], k) + 1)
}

// kinds is in the order of the kinds' bytes, from 1.
var kinds = [...]Kind{KindStatement, KindOutcome, KindSession, KindPrivacy, KindSystem, KindSubjects, KindImages}

const (
	segmentSuffix = ".seg"
	spareName     = "next.tmp"    // the segment allocated ahead; it has no header yet
	reserveName   = "reserve.bin" // the one for when there is no room for that
	reservePart   = 4             // of a segment's size, the reserve has this part
)

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// segments lists the segments of a log by their first seq.
func segments(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list audit segments: %w", err)
	}
	var firsts []uint64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if !ok {
			continue
		}
		first, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || e.Name() != segmentName(first) {
			return nil, fmt.Errorf("list audit segments: %s is not the name of a segment", filepath.Join(dir, e.Name()))
		}
		firsts = append(firsts, first)
	}
	return firsts, nil // ReadDir sorts, and the names are of one length
}

// segment is one mapped for writing. Its room is allocated before it is
// mapped: a write to a page without room on disk would kill the process.
type segment struct {
	header
	idSum uint32
	file  *os.File
	data  []byte // the whole file
	end   int    // where the next frame goes
	tip   int    // where the last frame stands; 0 when there is none

	warm    int            // pages up to here were made ready
	warming bool           // more are
	users   sync.WaitGroup // of data, in the background
}

// allocate makes a segment without a header, under a name that readers pass by.
func allocate(dir, name string, size int64) (*segment, error) {
	path := filepath.Join(dir, name)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("allocate segment: %w", err)
	}
	s, err := mapSegment(file, size)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return s, nil
}

// mapSegment maps a file, after reserving size bytes for it. It owns the file,
// also when it fails.
func mapSegment(file *os.File, size int64) (*segment, error) {
	err := unix.Fallocate(int(file.Fd()), 0, 0, size)
	for errors.Is(err, unix.EINTR) { // by a signal of Go's scheduler, on file systems that let themselves be interrupted
		err = unix.Fallocate(int(file.Fd()), 0, 0, size)
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = fmt.Errorf("the file system cannot reserve room (use ext4, xfs or btrfs): %w", err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("allocate segment: %w", err), file.Close())
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map segment: %w", err), file.Close())
	}
	return &segment{file: file, data: data, end: headerSize}, nil
}

// begin gives an allocated segment its header and its name.
func (s *segment) begin(dir, name string, h header) error {
	s.header, s.idSum = h, idSum(h.first)
	s.header.encode(s.data)
	return os.Rename(filepath.Join(dir, name), filepath.Join(dir, segmentName(h.first)))
}

// append writes one frame and gives the chain hash after it. There must be
// room. The length is written last: until then the frame is not there.
func (s *segment) append(seq uint64, kind byte, t time.Time, body []byte, chain hash) hash {
	f := s.data[s.end:]
	f = append(appendHead(f[:frameSize], seq, t), body...)
	copy(f[chainAt:], chain[:])
	chain = sha256.Sum256(f[chainAt:]) // of the chain hash before it and the payload
	copy(f[chainAt:], chain[:])
	f[kindAt] = kind
	binary.LittleEndian.PutUint64(f[seqAt:], seq)
	binary.LittleEndian.PutUint32(f[4:], checksum(s.idSum, f[seqAt:]))
	binary.LittleEndian.PutUint32(f, uint32(len(f)-frameSize))
	s.tip = s.end
	s.end += len(f)
	return chain
}

// setMark notes that every record below seq is durable. A single aligned
// store: it cannot be torn.
func (s *segment) setMark(seq uint64) { binary.LittleEndian.PutUint64(s.data[markAt:], seq) }

// seal notes that the segment is complete and the next one begun. Everything
// in it and the header of the next must be durable before.
func (s *segment) seal() error {
	binary.LittleEndian.PutUint64(s.data[lastAt:], uint64(s.tip))
	return s.sync()
}

func (s *segment) sync() error { return unix.Fdatasync(int(s.file.Fd())) }

func (s *segment) close() error {
	s.users.Wait()
	return errors.Join(unix.Munmap(s.data), s.file.Close())
}
