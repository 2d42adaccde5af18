package audit

import (
	"fmt"
	"time"
)

// standStill is how far the clock may go back without a word: the time of
// records then stands still until it has caught up, as after a correction by
// NTP.
const standStill = time.Minute

// stamp gives the time of a record: what tick found, unless it has one that
// JSON can say. The caller holds l.mu.
func (l *Log) stamp(t time.Time) time.Time {
	if t = t.UTC(); t.IsZero() || t.Year() < 0 || t.Year() > 9999 {
		return l.latest
	}
	return t.Round(0) // without the monotonic reading, as it will be read back
}

// tick looks at the clock, for the time of the next record. That is not earlier
// than the time of the record before, unless the clock went far back: that is
// recorded and followed. To go on with a time that is wrong would be worse, and
// without a word nobody could tell the order of what happened. The caller holds
// l.mu.
func (l *Log) tick() error {
	now := l.opts.Now().UTC().Round(0)
	back := l.latest.Sub(now)
	if back <= standStill {
		if back < 0 {
			l.latest = now
		}
		return nil
	}
	r := &Record{Kind: KindSystem, Message: fmt.Sprintf("the clock went back by %s, from %s: times before are not earlier than those that follow",
		back, l.latest.Format(time.RFC3339Nano))}
	body := appendBody(nil, r)
	if err := l.makeRoom(frameSize+maxHead+len(body), r.Kind); err != nil {
		return err
	}
	l.latest = now
	l.put(r, kindByte(r.Kind), body)
	return nil
}

// longestGap is what time in which nobody wrote the log counts for at most: a
// clock that is wrong at a start must not empty it.
const longestGap = 30 * 24 * time.Hour

// startClock notes what time it is, when the last record is known.
func (l *Log) startClock() {
	l.begun = l.opts.Now()
	l.since = l.begun.Round(0)
	if !l.latest.IsZero() && l.since.Sub(l.latest) > longestGap {
		l.since = l.latest.Add(longestGap)
	}
}

// SureTime is the time by which something is old enough to be destroyed: what
// passed since the log was opened, by a clock that nobody sets, after the time
// that it was opened at or a while after its last record, whichever is earlier.
func (l *Log) SureTime() time.Time { return l.since.Add(l.opts.Now().Sub(l.begun)) }
