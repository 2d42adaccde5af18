package audit

import (
	"strings"
	"testing"
	"time"
)

// TestClockBackwards sets the clock back while the log is written, and between
// two runs. Records are in the order of time, but where the log says that the
// clock went back; and all of it is signed.
func TestClockBackwards(t *testing.T) {
	k, dir := newKey(t), t.TempDir()
	now := fixedClock()
	o := signed(k)
	o.Now = func() time.Time { return now }
	var want []time.Time
	at := func(l *Log, move time.Duration, stamped ...time.Duration) {
		now = now.Add(move)
		if _, err := l.Append(sample()); err != nil {
			t.Fatal(err)
		}
		for _, d := range stamped {
			want = append(want, fixedClock().Add(d))
		}
	}
	l := openLog(t, dir, o)
	want = append(want, now)       // the key
	at(l, 0, 0)                    // 09:30
	at(l, time.Hour, time.Hour)    // 10:30
	at(l, -time.Second, time.Hour) // a correction: it stands still
	at(l, -standStill, time.Hour-time.Minute-time.Second, time.Hour-time.Minute-time.Second)
	at(l, time.Second, time.Hour-time.Minute)
	closeLog(t, l)
	l = openLog(t, dir, o)
	at(l, -48*time.Hour, -47*time.Hour-time.Minute, -47*time.Hour-time.Minute)
	closeLog(t, l)

	records := readAll(t, dir, 0)
	if len(records) != len(want) {
		t.Fatalf("%d records, want %d", len(records), len(want))
	}
	said := 0
	for i, r := range records {
		if !r.Time.Equal(want[i]) {
			t.Errorf("record %d is of %s, want %s", i, r.Time, want[i])
		}
		if strings.HasPrefix(r.Message, "the clock went back by ") {
			said++
		} else if i > 0 && r.Time.Before(records[i-1].Time) {
			t.Errorf("record %d is of %s, and the one before of %s", i, r.Time, records[i-1].Time)
		}
	}
	if said != 2 {
		t.Errorf("the log says %d times that the clock went back, want 2", said)
	}
	verifySigned(t, dir, uint64(len(want)), k)
}
