package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a contender's program.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed once it has ended
}

// stopTimeout is how long a program may take to end before it is killed.
const stopTimeout = 10 * time.Second

// startProcess starts a program in a process group of its own, so that a
// terminal's interrupt reaches it through us only. It ends by stop alone.
func startProcess(dir string, argv []string) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), log: filepath.Join(dir, "log"), exited: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	go func() {
		_ = p.cmd.Wait() // ended by a signal of ours, or too early: then the log says more
		close(p.exited)
	}()
	return p, nil
}

// stop ends the program and waits until it has.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended already
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// tail gives the end of what the program wrote.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// ticks is the unit of times in /proc: USER_HZ, which is 100 on every
// architecture that Go runs on.
const ticks = time.Second / 100

// cpuTime gives the processor time that a process and the children that it
// waited for have used.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStat(stat)
}

// parseStat reads utime, stime, cutime and cstime, the fields 14 to 17 of
// proc_pid_stat(5). The second field, a name, may hold blanks and brackets.
func parseStat(stat []byte) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return 0, errors.New("a process's stat has too few fields")
	}
	var sum time.Duration
	for _, f := range fields[11:15] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("a process's stat: %w", err)
		}
		sum += time.Duration(n) * ticks
	}
	return sum, nil
}

// memory gives the bytes of memory that a process takes up; what it shares
// with others counts by its share.
func memory(pid int) (int64, error) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	return parseRollup(string(rollup))
}

func parseRollup(rollup string) (int64, error) {
	for line := range strings.Lines(rollup) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("a process's smaps_rollup has no Pss")
}

// machineTime gives the processor time that the whole machine has spent busy,
// and altogether.
func machineTime() (busy, all int64, err error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, f := range strings.Fields(line)[1:] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i >= 8 {
			break // guests' time is in user's already
		}
		all += n
		if i != 3 && i != 4 { // idle, iowait
			busy += n
		}
	}
	return busy, all, nil
}

// foreignLoad gives the share of the machine that others use, measured while
// we do nothing.
func foreignLoad(ctx context.Context, d time.Duration) (float64, error) {
	busy0, all0, err := machineTime()
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	busy1, all1, err := machineTime()
	if err != nil || all1 == all0 {
		return 0, err
	}
	return float64(busy1-busy0) / float64(all1-all0), nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
