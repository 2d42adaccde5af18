package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/audit/ship"
	"github.com/pgveil/pgveil/config"
)

// besideDir is the folder of the access log's second chain, in that of the
// first. A log has one writer; while an old process serves its last sessions,
// the new one writes the chain that the old one does not.
const besideDir = "beside"

// besideOrigin is the second chain's name in its checkpoints: it is a log of
// its own, with a tree of its own, under the same key.
func besideOrigin(origin string) string { return origin + "/" + besideDir }

// openLog opens the chain of the access log that nobody writes, and gives its
// folder and the other one's.
func (p *process) openLog() (log *audit.Log, dir, other string, err error) {
	cfg := p.cfg
	o, err := logOptions(cfg.Audit)
	if err != nil {
		return nil, "", "", err
	}
	o.Signed, o.SignFailed = p.signed, func(err error) { p.log.Error("the access log is not signed; it is tried again", "err", err) }
	o.Retention.Retired = func(t audit.Tombstone) {
		p.log.Info("records of the access log were removed", "before", t.Records, "last", t.Last, "why", t.Why)
	}
	o.Retention.Failed = func(err error) { p.retained(err, "old records of the access log") }
	o.RoomChanged = p.roomChanged
	o.Retention.Floor = func() uint64 { return min(p.inTable(), shipFloor(cfg.Audit, cfg.Audit.Dir)) }
	first, second := cfg.Audit.Dir, filepath.Join(cfg.Audit.Dir, besideDir)
	log, err = audit.Open(first, o)
	if !cfg.Overlap || !errors.Is(err, audit.ErrInUse) {
		return log, first, second, err
	}
	besideKeysOf(o)
	o.Retention.Floor = func() uint64 { return min(p.inTable(), shipFloor(cfg.Audit, second)) }
	log, err = audit.Open(second, o)
	return log, second, first, err
}

// inTable gives the first record of the chain that this process writes that the
// log's table does not have yet; all of them while that is not known.
func (p *process) inTable() uint64 {
	if p.cfg.Audit.Table == nil {
		return math.MaxUint64
	}
	return p.loaded.Load()
}

// shipFloor gives the first record of the chain in dir that some sink does not
// have yet; all of them where that cannot be seen, or none has begun.
func shipFloor(a config.Audit, dir string) uint64 {
	floors, err := ship.Floor(a.Dir)
	if err != nil {
		return 0
	}
	chain := mainChain
	if dir != a.Dir {
		chain = besideDir
	}
	if least, begun := floors[chain]; begun || len(a.Ship) > 0 {
		return least
	}
	return math.MaxUint64
}

// besideKeysOf makes options of the first chain those of the second.
func besideKeysOf(o audit.Options) {
	for _, k := range []*audit.Key{o.Key, o.KeyBefore} {
		if k != nil {
			*k = k.For(besideOrigin(k.Name()))
		}
	}
}

// roomChanged says how much room the disk of the access log has.
func (p *process) roomChanged(room audit.Room, err error) {
	switch room {
	case audit.RoomNone:
		p.log.Error("the disk of the access log is full: statements and logins are refused from the end of this segment on; make room", "err", err)
	case audit.RoomLittle:
		p.log.Warn("the disk of the access log has little room left: make room before statements are refused")
	case audit.RoomEnough:
		p.log.Info("the disk of the access log has room again")
	}
}

// manyUnsigned is more records than one checkpoint usually adds.
const manyUnsigned = 1 << 20

// signed hands a checkpoint to the anchors, and says how far it has come while
// there is much to sign: a log from before there was a key, or hashes.dat lost.
func (p *process) signed(c audit.Checkpoint, unsigned uint64) {
	p.anchors.add(c)
	if unsigned > manyUnsigned {
		p.log.Info("signing the access log", "signed", c.Size, "to_sign", unsigned)
	}
}

// tellLog says where the access log is, and sends its last checkpoint to the
// anchors again: a process before may not have come to it.
func (p *process) tellLog(dir string) {
	c, signs := p.audit.LastCheckpoint()
	if !signs {
		p.log.Warn("access log: its checkpoints are not signed, as audit.key is not set", "dir", dir)
		return
	}
	if c.Size > 0 {
		p.anchors.add(c)
	}
	p.log.Info("access log", "dir", dir, "origin", c.Origin, "records", p.audit.Stats().Appended, "signed", c.Size)
}

// holdName is the file in the log's folder that keeps records from being removed
// for as long as it is there: without a restart.
const holdName = "hold"

// logOptions reads the keys that sign checkpoints.
func logOptions(a config.Audit) (audit.Options, error) {
	o := audit.Options{CheckpointEvery: a.Checkpoint, Retention: audit.Retention{Keep: time.Duration(a.Keep), Hold: filepath.Join(a.Dir, holdName)}}
	if a.Hold {
		o.Retention.Keep = 0
	}
	for _, k := range []struct {
		path string
		to   **audit.Key
	}{{a.Key, &o.Key}, {a.KeyBefore, &o.KeyBefore}} {
		if k.path == "" {
			continue
		}
		key, err := readAuditKey(k.path)
		if errors.Is(err, fs.ErrNotExist) {
			return o, fmt.Errorf("%w: make one with \"pgveil audit key %s --origin %s\"", err, k.path, a.Origin)
		}
		if err != nil {
			return o, err
		}
		if key.Name() != a.Origin {
			return o, fmt.Errorf("audit key %s is for the origin %s, and audit.origin is %s", k.path, key.Name(), a.Origin)
		}
		*k.to = &key
	}
	return o, nil
}

// started is what a process first records. Where there is another chain it
// says how far that had come: so each chain vouches for the other, and neither
// can be removed or written anew without a trace.
func started(other string) string {
	head, err := audit.ReadHead(other)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "start"
	case err != nil:
		return fmt.Sprintf("start; the other chain cannot be read: %v", err)
	default:
		return fmt.Sprintf("start; the other chain has come to %s", head)
	}
}
