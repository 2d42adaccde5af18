package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// batchLock is the advisory lock of whoever opens a batch: "pgbt". Of two at once
// that hold the same lines, both would find that nothing is there yet.
const batchLock = 0x7067_6274

// batchColumns are the columns that a file may have, in any order.
var batchColumns = []string{"what", "subject", "key", "by", "verified_by", "evidence", "regime", "received", "channel", "reference", "purpose", "reason"}

// batch opens what a file says.
type batch struct {
	*desk
	run     bool // what may run is told to
	columns []string
	told    func(batchLine) error
	refused int64
}

// batchLine is what became of a line.
type batchLine struct {
	Line    int    `json:"line"`
	Request int64  `json:"request,omitempty"`
	Result  string `json:"result"` // opened, there or refused
	State   string `json:"state,omitempty"`
	Because string `json:"because,omitempty"` // it was refused, or told to run in vain
}

// runDsarBatch runs "pgveil dsar batch".
func runDsarBatch(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar batch", "FILE",
		"Opens the requests of a CSV file, or of standard input for \"-\", and says what became\nof each line; one that cannot be opened keeps no other from being. The first line\nnames the columns: what, subject and key, and any of\n"+strings.Join(batchColumns[3:], ", ")+".\n\nA line whose channel and reference a request has already opens no second one: give\nreferences, and the file can be read again. The status is 1 when a line was refused.",
		"pgveil dsar batch tonight.csv --run", "zcat portal.csv.gz | pgveil dsar batch - --json > results.ndjson")
	b := &batch{desk: &desk{}}
	b.flags(c)
	c.flags.BoolVar(&b.run, "run", false, "let those run that have what the policy asks for, at once or as soon as they do")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) != 1 {
		return c.misused(stderr, "give one file")
	}
	b.told = b.printLine(stdout)
	in, err := openInput(c.args[0])
	if err == nil {
		err = b.read(ctx, in, stderr)
		err = errors.Join(err, b.close(), in.Close())
	}
	if err != nil {
		return c.failed(stderr, err)
	}
	if b.refused > 0 {
		return 1
	}
	return 0
}

func openInput(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(path)
}

func (b *batch) printLine(w io.Writer) func(batchLine) error {
	if b.desk.json {
		e := json.NewEncoder(w)
		return func(l batchLine) error { return e.Encode(l) }
	}
	return func(l batchLine) error {
		var err error
		switch l.Result {
		case "refused":
			_, err = fmt.Fprintf(w, "line %d: refused: %s\n", l.Line, printable(l.Because))
		case "there":
			_, err = fmt.Fprintf(w, "line %d: there already: request %d: %s\n", l.Line, l.Request, strings.TrimSuffix(l.State+": "+printable(l.Because), ": "))
		default:
			_, err = fmt.Fprintf(w, "line %d: opened request %d: %s\n", l.Line, l.Request, strings.TrimSuffix(l.State+": "+printable(l.Because), ": "))
		}
		return err
	}
}

// read opens what the file says, alone.
func (b *batch) read(ctx context.Context, in io.Reader, stderr io.Writer) (err error) {
	lines := csv.NewReader(in)
	lines.ReuseRecord = true
	header, err := lines.Read()
	if err != nil {
		return fmt.Errorf("the first line, which names the columns: %w", withoutText(err))
	}
	if err := b.header(header); err != nil {
		return err
	}
	if err := b.open(ctx, stderr); err != nil {
		return err
	}
	alone, err := b.process.own.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, alone.Close(context.WithoutCancel(ctx))) }()
	if err := lockBatch(ctx, alone); err != nil {
		return err
	}
	counts, err := b.lines(ctx, lines)
	fmt.Fprintf(stderr, "%d opened, %d there already, %d refused\n", counts["opened"], counts["there"], counts["refused"])
	b.refused = counts["refused"]
	return err
}

func lockBatch(ctx context.Context, conn *pgx.Conn) error {
	var got bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, 0)", batchLock).Scan(&got); err != nil {
		return err
	}
	if !got {
		return errors.New("another batch is being opened: one at a time")
	}
	return nil
}

func (b *batch) header(names []string) error {
	for i, name := range names {
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		if !slices.Contains(batchColumns, name) {
			return fmt.Errorf("column %d is called %q; %s", i+1, printable(name), privacy.DidYouMean(name, batchColumns))
		}
		if slices.Contains(b.columns, name) {
			return fmt.Errorf("there are two columns %q", name)
		}
		b.columns = append(b.columns, name)
	}
	for _, name := range batchColumns[:3] {
		if !slices.Contains(b.columns, name) {
			return fmt.Errorf("the column %q is missing", name)
		}
	}
	return nil
}

// lines opens line by line. What is wrong with a line is said of it; what is
// wrong with the database or the access log ends the batch.
func (b *batch) lines(ctx context.Context, lines *csv.Reader) (counts map[string]int64, err error) {
	counts = map[string]int64{}
	for {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return counts, nil
		}
		var wrong *csv.ParseError
		if err != nil && !errors.As(err, &wrong) {
			return counts, err
		}
		l := batchLine{}
		if wrong != nil {
			l = batchLine{Line: wrong.StartLine, Result: "refused", Because: withoutText(err).Error()}
		} else if l, err = b.line(ctx, fields); err == nil {
			l.Line, _ = lines.FieldPos(0)
		} else {
			at, _ := lines.FieldPos(0)
			return counts, fmt.Errorf("line %d, and none behind it was read: %w", at, err)
		}
		counts[l.Result]++
		if err := b.told(l); err != nil {
			return counts, err
		}
	}
}

// withoutText gives what is wrong with a line, and where, and nothing of it.
func withoutText(err error) error {
	var wrong *csv.ParseError
	if errors.As(err, &wrong) {
		return fmt.Errorf("it is not CSV as the others are: %w", wrong.Err)
	}
	return err
}

// line opens the request of a line, unless it is there.
func (b *batch) line(ctx context.Context, fields []string) (l batchLine, err error) {
	o, channel, err := b.opening(fields)
	var cmd privacy.Command
	if err == nil {
		cmd, err = o.command()
	}
	if err == nil && channel != "" {
		l, err = b.there(ctx, cmd, channel)
	}
	if err == nil && l.Result == "" {
		l, err = b.opened(ctx, cmd)
	}
	if err == nil && b.run && l.State == string(state.RequestReady) {
		var rows [][]string
		if rows, err = b.change(ctx, privacy.Command{Verb: privacy.VerbRunRequest, ID: strconv.FormatInt(l.Request, 10)}); err == nil {
			l.State = rows[0][3]
		}
	}
	var said *privacy.Error
	if !errors.As(err, &said) {
		return l, err
	}
	if l.Because = said.Error(); l.Request == 0 {
		l.Result = "refused"
	}
	return l, nil
}

func (b *batch) opened(ctx context.Context, cmd privacy.Command) (l batchLine, err error) {
	rows, err := b.change(ctx, cmd)
	if err != nil {
		return l, err
	}
	state := strings.TrimSuffix(rows[0][3]+": "+rows[0][5], ": ")
	return batchLine{Request: numberOf(privacy.Command{}, rows), Result: "opened", State: state}, nil
}

// there finds the request that came with a reference. One that was opened, and
// not told to run before the batch was killed, is ready.
func (b *batch) there(ctx context.Context, cmd privacy.Command, channel string) (l batchLine, err error) {
	id, what, kind, err := b.service.ByChannel(ctx, channel, b.by)
	if err != nil || id == 0 {
		return l, err
	}
	asked := cmd.Request.What
	if cmd.Verb == privacy.VerbErase {
		asked = policy.Erasure
	}
	if what != asked.String() || kind != cmd.Subject {
		return batchLine{Result: "refused", Because: fmt.Sprintf("the reference is that of request %d, which asks for something else", id)}, nil
	}
	v, err := b.service.Look(ctx, id, b.by)
	return batchLine{Result: "there", Request: id, State: string(v.State)}, err
}

// opening reads a line. channel is "" where nothing tells it from others.
func (b *batch) opening(fields []string) (o opening, channel string, err error) {
	at := map[string]string{}
	for i, name := range b.columns {
		at[name] = strings.Clone(strings.TrimSpace(fields[i]))
	}
	o = opening{
		What: at["what"], Subject: at["subject"], Key: []string{at["key"]}, By: at["by"], Identity: at["verified_by"], Evidence: at["evidence"],
		Regime: at["regime"], Received: at["received"], Channel: at["channel"], Purpose: at["purpose"], Reason: at["reason"],
	}
	if strings.EqualFold(o.What, policy.Rectification.String()) {
		return o, "", privacy.Fail(privacy.Syntax, "pgveil dsar rectify", "a rectification is opened by itself")
	}
	if reference := at["reference"]; reference != "" {
		channel = strings.TrimPrefix(at["channel"]+", reference "+reference, ", ")
		o.Channel = channel
	}
	o.AtOnce = b.run && strings.EqualFold(o.What, policy.Erasure.String())
	o.Reason = cmp.Or(o.Reason, map[bool]string{true: "batch"}[o.AtOnce])
	return o, channel, nil
}
