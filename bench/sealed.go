package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
)

// vaultSchema makes the tables whose columns are sealed, and their twins in the
// clear.
const vaultSchema = `
CREATE TABLE vault (id bigint PRIMARY KEY, ssn text, iban text, income numeric, note text, born date, card text);
CREATE TABLE vault_sealed (id bigint PRIMARY KEY, ssn text, iban text, income text, note text, born text, card text);
CREATE UNLOGGED TABLE intake (LIKE vault);
CREATE UNLOGGED TABLE intake_sealed (LIKE vault_sealed);` + keyedSchema

// vaultClasses are the classes of sealed columns where they are not sealed, and where
// they are. All else of those tables is open.
var vaultClasses = map[bool]string{
	false: `  iban: [public.vault.iban]
  born: [public.vault.born]
`,
	true: `  ssn:    {columns: [public.vault_sealed.ssn, public.intake_sealed.ssn], seal: deterministic}
  iban:   {columns: [public.vault_sealed.iban, public.intake_sealed.iban], seal: randomized}
  income: {columns: [public.vault_sealed.income, public.intake_sealed.income], seal: randomized, type: numeric}
  note:   {columns: [public.vault_sealed.note, public.intake_sealed.note], seal: randomized}
  born:   {columns: [public.vault_sealed.born, public.intake_sealed.born], seal: randomized, type: date}
  card:   {columns: [public.vault_sealed.card, public.intake_sealed.card], seal: deterministic, format: digits(16)}
`,
}

// benchPolicy is the policy of a contender.
func benchPolicy(sealed bool) string {
	return strings.Replace(policyText, "  # vault\n", vaultClasses[sealed], 1)
}

// The contenders whose columns are sealed, and what each is compared with.
var sealedTwins = map[string]string{
	"sealed": "pgveil", "sealed restricted": "restricted", "shredding": "pgveil",
	"other sealed": "pgveil", "other sealed restricted": "restricted", "other shredding": "pgveil",
}

// vault gives a statement on tables in the clear as it is sent through a contender.
func (r *running) vault(sql string) string {
	switch {
	case sealedTwins[r.name] == "":
		return sql
	case r.shreds():
		return strings.NewReplacer("vault", "vault_keyed", "intake", "intake_keyed").Replace(sql)
	default:
		return strings.NewReplacer("vault", "vault_sealed", "intake", "intake_sealed").Replace(sql)
	}
}

// prepareSealed is preparePgveil with columns that are sealed under the run's keys, and
// with a store of data keys where the contender shreds.
func prepareSealed(program string) func(*bench, string, *running) ([]string, error) {
	return func(b *bench, dir string, r *running) ([]string, error) {
		argv, err := preparePgveil("relaxed", program)(b, dir, r)
		if err != nil {
			return nil, err
		}
		text, store := benchPolicy(true), ""
		if r.shreds() {
			if err := b.startStore(); err != nil {
				return nil, err
			}
			text = strings.Replace(text, "classes:\n", "classes:\n"+keyedClass, 1)
			store = fmt.Sprintf(", data_keys: {dsn: %q}", b.store.DSN("postgres", pgserver.Superuser))
		}
		if err := writeFiles(dir, 0o600, map[string]string{"policy.yaml": text}); err != nil {
			return nil, err
		}
		if err := appendFile(filepath.Join(dir, "pgveil.yaml"), fmt.Sprintf("sealing: {keys: %s, wrapped_by: {file: %s}%s}\n", filepath.Join(b.dir, "keys.json"), filepath.Join(b.dir, "kek"), store)); err != nil {
			return nil, err
		}
		if b.keyed {
			return argv, nil
		}
		var kek [32]byte
		rand.Read(kek[:])
		if err := writeFiles(b.dir, 0o600, map[string]string{"kek": hex.EncodeToString(kek[:])}); err != nil {
			return nil, err
		}
		create := exec.Command(argv[0], "keys", "create", "--config", "pgveil.yaml", "ssn", "iban", "income", "note", "born", "card", "secret")
		create.Dir = dir
		if out, err := create.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("pgveil keys create: %w\n%s", err, out)
		}
		b.keyed = true
		return argv, nil
	}
}

// fillVaults fills the table in the clear, and the sealed one from it through pgveil.
func (b *bench) fillVaults(ctx context.Context, _ []*running) (err error) {
	if b.filled {
		return nil
	}
	through, err := b.start(ctx, &contender{name: "sealed", login: plainLogin, prepare: prepareSealed(b.o.pgveil)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, through.stop()) }()
	b.say("sealing %d rows", b.o.rows)
	if err := b.exec(ctx, fmt.Sprintf(`INSERT INTO vault SELECT n, n, 'DE89' || 370400440532013000 + n, n / 100.0, 'prefers letters to calls, account ' || n,
		date '1950-01-01' + mod(n, 20000)::int, 4000000000000000 + n FROM generate_series(1, %d::bigint) n; CREATE INDEX ON vault (ssn); CREATE INDEX ON vault (card)`, b.o.rows)); err != nil {
		return err
	}
	if err := b.copyThrough(ctx, through, "COPY vault TO STDOUT", "COPY vault_sealed FROM STDIN"); err != nil {
		return err
	}
	for _, sql := range []string{"CREATE INDEX ON vault_sealed (ssn)", "CREATE INDEX ON vault_sealed (card)", "VACUUM ANALYZE"} {
		if err := b.exec(ctx, sql); err != nil {
			return err
		}
	}
	b.filled = true
	return b.nothingClear(ctx)
}

// copyThrough copies rows from the server, and through a contender to it.
func (b *bench) copyThrough(ctx context.Context, through *running, out, in string) error {
	from, err := pgx.Connect(ctx, b.clientDSN(&running{contender: &contender{login: plainLogin}, port: b.server.Port()}))
	if err != nil {
		return err
	}
	defer from.Close(ctx)
	to, err := pgx.Connect(ctx, b.clientDSN(through))
	if err != nil {
		return err
	}
	defer to.Close(ctx)
	r, w := io.Pipe()
	go func() {
		_, err := from.PgConn().CopyTo(ctx, w, out)
		w.CloseWithError(err)
	}()
	if _, err := to.PgConn().CopyFrom(ctx, r, in); err != nil {
		return fmt.Errorf("seal rows: %w", err)
	}
	return nil
}

// nothingClear tells whether the sealed table is one: otherwise nothing would be
// compared.
func (b *bench) nothingClear(ctx context.Context) error {
	return b.allSealed(ctx, b.o.rows, `SELECT count(*) FROM vault_sealed s JOIN vault v USING (id)
		WHERE s.ssn LIKE 'pgv1.%' AND s.iban LIKE 'pgv1.%' AND s.income LIKE 'pgv1.%' AND s.note LIKE 'pgv1.%' AND s.born LIKE 'pgv1.%' AND s.card <> v.card`)
}

// allSealed tells whether as many rows are sealed as there are.
func (b *bench) allSealed(ctx context.Context, rows int, sql string) error {
	conn, err := pgx.Connect(ctx, b.server.DSN(database, pgserver.Superuser))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var n int
	err = conn.QueryRow(ctx, sql).Scan(&n)
	if err == nil && n != rows {
		err = fmt.Errorf("%d of %d rows are sealed", n, rows)
	}
	return err
}

// vaultScripts are pgbench's scripts for sealed columns, by name. Parameters and
// literals are strings in both.
func vaultScripts(rows int) map[string]string {
	out := map[string]string{}
	few, many := "\\set id random(1, 200)\n", fmt.Sprintf("\\set n random(1, %d)\n", rows)
	card := fmt.Sprintf("\\set n 4000000000000000 + random(1, %d)\n", rows)
	for _, mode := range []string{"simple", "prepared"} {
		value := ":n"
		if mode == "simple" {
			value = "':n'"
		}
		for name, script := range map[string]string{
			"read1":  few + "SELECT iban FROM vault WHERE id = :id;\n",
			"read4":  few + "SELECT ssn, iban, income, note FROM vault WHERE id = :id;\n",
			"write1": many + "INSERT INTO intake (id, iban) VALUES (1, " + value + ");\n",
			"write4": many + "INSERT INTO intake (id, ssn, iban, income, note) VALUES (1, " + strings.Repeat(value+", ", 3) + value + ");\n",
			"find":   many + "SELECT id FROM vault WHERE ssn = " + value + ";\n",

			"read-format":  few + "SELECT card FROM vault WHERE id = :id;\n",
			"write-format": card + "INSERT INTO intake (id, card) VALUES (1, " + value + ");\n",
			"find-format":  card + "SELECT id FROM vault WHERE card = " + value + ";\n",

			"read-shred":  few + "SELECT note FROM vault WHERE id = :id;\n",
			"fetch-shred": fmt.Sprintf("\\set id random(1, %d)\nSELECT note FROM vault WHERE id = :id;\n", keyedRows(rows)),
			"write-shred": many + "INSERT INTO intake (id, note) VALUES (1, " + value + ");\n",
		} {
			out[name+"-"+mode+".sql"] = script
			for _, twin := range []string{"sealed", "shredding"} {
				out[name+"-"+mode+"-"+twin+".sql"] = (&running{contender: &contender{name: twin}}).vault(script)
			}
		}
	}
	return out
}

// sealedWorkloads compare sealed columns with others, both through pgveil.
func (b *bench) sealedWorkloads() (all []workload) {
	add := func(w workload, among ...string) {
		w.kind, w.among, w.ready = sealedColumns, among, b.fillVaults
		all = append(all, w)
	}
	plain := []string{"pgveil", "sealed", "other sealed"}
	for _, column := range []string{"iban", "ssn", "born", "card"} {
		sql := "SELECT " + column + " FROM vault"
		add(b.vaultOut("sealed/"+column+"/simple", func(s *stream, r *running) error { return s.out(r.vault(sql)) }), plain...)
		add(b.vaultOut("sealed/"+column+"/text", func(s *stream, r *running) error { return s.extended(r.vault(sql), 0) }), plain...)
		add(b.vaultOut("sealed/"+column+"/binary", func(s *stream, r *running) error { return s.extended(r.vault(sql), 1) }), plain...)
		add(b.vaultOut("sealed/"+column+"/copy-out", func(s *stream, r *running) error { return s.out(r.vault("COPY vault (" + column + ") TO STDOUT")) }), plain...)
	}
	for _, name := range []string{"read1", "read4", "write1", "write4", "find", "read-format", "write-format", "find-format"} {
		for _, mode := range []string{"simple", "prepared"} {
			add(b.vaultTimed("sealed/"+name+"/"+mode, load{script: name + "-" + mode, mode: mode, clients: 8}), plain...)
		}
	}
	add(b.vaultIn("sealed/copy-in/1", "COPY intake (id, iban) FROM STDIN", "4711\tDE89370400440532013000\n"), plain...)
	add(b.vaultIn("sealed/copy-in/5", "COPY intake (id, ssn, iban, income, note, born) FROM STDIN", "4711\t123-45-6789\tDE89370400440532013000\t1234.50\tprefers letters to calls\t1980-02-29\n"), plain...)
	add(b.vaultIn("sealed/copy-in/format", "COPY intake (id, card) FROM STDIN", "4711\t4000000000004711\n"), plain...)
	masked := []string{"restricted", "sealed restricted", "other sealed restricted"}
	add(b.vaultOut("sealed/last4/simple", func(s *stream, r *running) error { return s.out(r.vault("SELECT iban FROM vault")) }), masked...)
	add(b.vaultOut("sealed/month/simple", func(s *stream, r *running) error { return s.out(r.vault("SELECT born FROM vault")) }), masked...)
	for _, w := range b.keyedWorkloads() {
		w.kind, w.among = sealedColumns, []string{"pgveil", "shredding", "other shredding"}
		all = append(all, w)
	}
	return all
}

func (b *bench) vaultOut(name string, do func(*stream, *running) error) workload {
	return workload{name: name, unit: "values", run: func(ctx context.Context, r *running) (sample, error) {
		return b.stream(ctx, r, b.o.rows, func(s *stream) error { return do(s, r) })
	}}
}

func (b *bench) vaultTimed(name string, l load) workload {
	l.seconds = b.o.seconds
	return workload{name: name, unit: "transactions", run: func(ctx context.Context, r *running) (sample, error) {
		own := l
		switch {
		case r.shreds():
			own.script += "-shredding"
		case sealedTwins[r.name] != "":
			own.script += "-sealed"
		}
		own.script += ".sql"
		return b.timed(ctx, r, own)
	}}
}

func (b *bench) vaultIn(name, sql, row string) workload {
	return workload{name: name, unit: "rows", run: func(ctx context.Context, r *running) (sample, error) {
		if err := b.exec(ctx, "TRUNCATE intake, intake_sealed, intake_keyed"); err != nil {
			return sample{}, err
		}
		rows := b.rowsOf(r)
		return b.stream(ctx, r, rows, func(s *stream) error { return s.in(r.vault(sql), row, rows) })
	}}
}

// extended is out by the extended protocol, with values in a format.
func (s *stream) extended(sql string, format uint16) error {
	bind := binary.BigEndian.AppendUint16([]byte("\x00\x00\x00\x00\x00\x00\x00\x01"), format)
	text := append(frame('P', "\x00"+sql+"\x00\x00\x00"), frame('B', string(bind))...)
	text = append(append(text, frame('E', "\x00\x00\x00\x00\x00")...), frame('S', "")...)
	if _, err := s.conn.Write(text); err != nil {
		return err
	}
	return s.read('Z')
}
