package datamap_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/recognise"
)

// labelled is a column of testdata/scan.
type labelled struct {
	table, name, typ, label string
	make                    []string // the maker and its arguments
	missing                 int      // of a hundred values
}

const labels = "../testdata/scan"

// readLabelled reads the tables of one half, and what they refer to.
func readLabelled(t *testing.T, half string) (columns []labelled, refers map[string]string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(labels, half, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no labelled columns in %s: %v", half, err)
	}
	refers = map[string]string{}
	table := ""
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			first, rest, _ := strings.Cut(line, " ")
			switch {
			case line == "":
			case first == "table":
				table = rest
			case first == "refers":
				refers[table] = rest
			default:
				columns = append(columns, readColumn(t, table, line))
			}
		}
	}
	return columns, refers
}

func readColumn(t *testing.T, table, line string) labelled {
	t.Helper()
	fields := strings.SplitN(line, " | ", 4)
	if len(fields) != 4 {
		t.Fatalf("%s: %q is not name | type | label | maker", table, line)
	}
	c := labelled{table: table, name: fields[0], typ: fields[1], label: fields[2]}
	maker, missing, _ := strings.Cut(fields[3], " ?")
	if missing != "" {
		n, err := strconv.Atoi(missing)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		c.missing = n
	}
	name, args, _ := strings.Cut(maker, " ")
	c.make = append([]string{name}, strings.Fields(args)...)
	if name == "pick" {
		c.make = append([]string{name}, strings.Split(args, "|")...)
	}
	return c
}

// load makes a database of the labelled tables.
func load(t *testing.T, half string) (*pgx.Conn, []labelled) {
	t.Helper()
	columns, refers := readLabelled(t, half)
	conn := pgtest.Connect(t, pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser))
	lists := readLists(t)
	for from := 0; from < len(columns); {
		to := from
		for to < len(columns) && columns[to].table == columns[from].table {
			to++
		}
		loadTable(t, conn, columns[from:to], refers[columns[from].table], &maker{half: half, lists: lists})
		from = to
	}
	return conn, columns
}

const madeRows = 120

func loadTable(t *testing.T, conn *pgx.Conn, columns []labelled, refers string, m *maker) {
	t.Helper()
	table := columns[0].table
	schema, _, _ := strings.Cut(table, ".")
	var names, defs []string
	for i, c := range columns {
		names = append(names, pgx.Identifier{c.name}.Sanitize())
		def := names[i] + " " + c.typ
		if i == 0 {
			def += " PRIMARY KEY"
		}
		defs = append(defs, def)
	}
	sql := fmt.Sprintf("CREATE SCHEMA IF NOT EXISTS %s; CREATE TABLE %s (%s)", schema, table, strings.Join(defs, ", "))
	if refers != "" { // a column of its own, which is not labelled: that the table refers is what counts
		sql += fmt.Sprintf("; ALTER TABLE %s ADD COLUMN refers_to int; ALTER TABLE %s ADD CONSTRAINT refers FOREIGN KEY (refers_to) REFERENCES %s NOT VALID", table, table, refers)
	}
	if columns[0].make[0] != "serial" {
		sql = strings.Replace(sql, " PRIMARY KEY", "", 1)
	}
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", table, err)
	}
	h := fnv.New64a()
	h.Write([]byte(table))
	m.rand = rand.New(rand.NewPCG(7, h.Sum64()))
	var rows bytes.Buffer
	for row := range madeRows {
		m.row = row
		for i, c := range columns {
			if i > 0 {
				rows.WriteByte('\t')
			}
			if m.rand.IntN(100) < c.missing {
				rows.WriteString(`\N`)
				continue
			}
			rows.WriteString(strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`).Replace(m.value(t, c.make)))
		}
		rows.WriteByte('\n')
	}
	if _, err := conn.PgConn().CopyFrom(t.Context(), &rows, fmt.Sprintf("COPY %s (%s) FROM STDIN", table, strings.Join(names, ", "))); err != nil {
		t.Fatalf("%s: %v", table, err)
	}
}

// readLists reads words.txt.
func readLists(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(labels, "words.txt"))
	if err != nil {
		t.Fatal(err)
	}
	lists := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		name, words, _ := strings.Cut(strings.TrimSpace(line), ": ")
		lists[name] = strings.Split(words, ", ")
	}
	return lists
}

// maker makes values. Its names are of one half of the lists alone.
type maker struct {
	half  string
	lists map[string][]string
	rand  *rand.Rand
	row   int
}

func (m *maker) from(list, lang string) string {
	words := m.lists[list+"."+m.half+"."+lang]
	if lang == "" {
		words = m.lists[list+"."+m.half]
	}
	return m.pick(words...)
}

func (m *maker) pick(words ...string) string { return words[m.rand.IntN(len(words))] }

// shape makes a text: # is a digit, @ a capital, & either, all else is itself.
func (m *maker) shape(s string) string {
	return strings.Map(func(r rune) rune {
		const capitals = "ABCDEFGHJKLMNPRSTUVWXYZ"
		switch {
		case r == '#':
			return rune('0' + m.rand.IntN(10))
		case r == '@' || r == '&' && m.rand.IntN(2) == 0:
			return rune(capitals[m.rand.IntN(len(capitals))])
		case r == '&':
			return rune('0' + m.rand.IntN(10))
		default:
			return r
		}
	}, s)
}

func (m *maker) between(args []string) int {
	from, _ := strconv.Atoi(args[0])
	to, _ := strconv.Atoi(args[1])
	return from + m.rand.IntN(to-from)
}

func (m *maker) date(args []string) string {
	return fmt.Sprintf("%04d-%02d-%02d", m.between(args), 1+m.rand.IntN(12), 1+m.rand.IntN(28))
}

func (m *maker) full(lang string) string { return m.from("first", lang) + " " + m.from("last", lang) }

var ascii = strings.NewReplacer("ü", "ue", "ö", "oe", "ä", "ae", "ß", "ss", "é", "e", "è", "e", "ç", "c", "ã", "a", "á", "a", "í", "i", "ñ", "n", "ó", "o", "ł", "l", "ż", "z", "ś", "s", " ", ".", "'", "")

func (m *maker) local(lang string) string {
	return strings.Map(func(r rune) rune {
		if r < 128 {
			return r
		}
		return -1
	}, ascii.Replace(strings.ToLower(m.from("first", lang)+"."+m.from("last", lang))))
}

// value makes a value.
func (m *maker) value(t *testing.T, args []string) string {
	t.Helper()
	what, lang := args[0], ""
	if len(args) > 1 {
		lang = args[1]
	}
	switch what {
	case "serial":
		return strconv.Itoa(m.row + 1)
	case "int":
		return strconv.Itoa(m.between(args[1:]))
	case "dec":
		return fmt.Sprintf("%d.%02d", m.between(args[1:]), m.rand.IntN(100))
	case "pick":
		return m.pick(args[1:]...)
	case "bool":
		return m.pick("t", "f")
	case "date":
		return m.date(args[1:])
	case "stamp":
		return m.date(args[1:]) + m.shape(" 1#:0#:0#+00")
	case "first", "last", "city", "company", "product", "icd":
		if what == "icd" {
			return m.pick(m.lists["icd"]...)
		}
		return m.from(what, lang)
	case "full":
		return m.full(lang)
	case "street":
		return m.street(lang)
	case "addr":
		return m.street(lang) + ", " + m.postcode(lang) + " " + m.from("city", "")
	case "postcode":
		return m.postcode(lang)
	case "email":
		return m.local(lang) + m.shape("##") + "@" + m.pick("example.com", "mail.example.org", "example.net")
	case "emails":
		return "{" + m.local(lang) + "@example.com," + m.local(lang) + "@example.org}"
	case "user":
		return m.local(lang)[:4] + m.pick("_", "", ".") + m.shape("##")
	case "phone":
		return m.phone(lang)
	case "nid":
		return m.national(lang)
	case "note", "sentence":
		return m.talk(what, lang)
	case "json":
		return m.json(lang)
	default:
		return m.thing(t, what, args)
	}
}

func (m *maker) street(lang string) string {
	s := m.from("street", lang)
	if lang == "en" || lang == "fr" {
		return strconv.Itoa(1+m.rand.IntN(200)) + " " + s
	}
	return s + m.pick(" ", ", ", " ") + strconv.Itoa(1+m.rand.IntN(200))
}

func (m *maker) postcode(lang string) string {
	return m.shape(map[string]string{"en": "@@# #@@", "nl": "#### @@", "pl": "##-###", "pt": "#####-###"}[lang] + map[bool]string{true: "#####"}[strings.Contains("de fr es it", lang)])
}

func (m *maker) phone(lang string) string {
	shapes := map[string][]string{
		"en":   {"+44 20 7### ####", "07### ######", "+1 (212) 5##-####", "(415) 5##-####"},
		"de":   {"+49 30 ######", "030/#######", "0171 #######", "+49171#######"},
		"fr":   {"06 ## ## ## ##", "+33 6 ## ## ## ##", "01.##.##.##.##"},
		"es":   {"+34 6## ## ## ##", "6## ### ###", "91 ### ## ##"},
		"pt":   {"(11) 9####-####", "+351 91# ### ###", "91# ### ###"},
		"it":   {"+39 33# #######", "33# #######", "06 ########"},
		"nl":   {"06-########", "+31 6 ########", "020-#######"},
		"pl":   {"+48 5## ### ###", "5## ### ###", "22 ### ## ##"},
		"intl": {"+4420########", "+49 89 ######", "+33 1 ## ## ## ##", "+1-202-555-####"},
	}
	return m.shape(m.pick(shapes[lang]...))
}

// national makes an identifier by trying shapes until the check digits are right.
func (m *maker) national(kind string) string {
	shapes := map[string]string{
		"es_dni": "########@", "fr_nir": "1##03##1##1####", "de_idnr": "8##########", "it_cf": "@@@@@@##A##F###@",
		"pl_pesel": "##0#1######", "nl_bsn": "1########", "gb_nino": "AB######C", "br_cpf": "###.###.###-##",
	}
	want, err := recognise.Parse(kind)
	if err != nil {
		return err.Error()
	}
	for {
		if id := m.shape(shapes[kind]); recognise.Whole([]byte(id))&want != 0 {
			return id
		}
	}
}

// talk makes what people write: about persons, or about things.
func (m *maker) talk(what, lang string) string {
	if what == "sentence" {
		return m.pick("The unit ships with a cable and a printed manual.", "Connection reset while reading the response body.", "Made of recycled material, easy to clean.",
			"Apply twice a day after meals.", "Valid until further notice under the usual terms.", "Index rebuild finished without warnings.") + " " + m.shape("Ref &&##.")
	}
	notes := map[string][]string{
		"en": {"Spoke with %s about the late delivery, will call back.", "%s asked us to use %s from now on.", "Prefers to be contacted by %s in the evening."},
		"de": {"Mit %s telefoniert, Rückruf vereinbart.", "%s bittet um Änderung der Adresse auf %s.", "Hat sich über die Wartezeit beschwert, sagt %s."},
		"fr": {"Rappeler %s demain au sujet du dossier.", "%s souhaite être jointe par %s désormais.", "Madame se plaint de douleurs depuis hier, selon %s."},
		"es": {"Hablar con %s sobre la factura pendiente.", "%s pide que le escribamos a %s siempre.", "Llega tarde por motivos familiares, dice %s."},
		"pt": {"Falar com %s sobre o pagamento em atraso.", "%s pediu para mudar o contacto para %s hoje.", "Precisa de apoio em casa, segundo %s."},
		"it": {"Sentito %s per la riunione di domani mattina.", "%s chiede di usare %s come recapito nuovo.", "Assente per motivi di salute, riferisce %s."},
		"nl": {"Gebeld met %s over de openstaande rekening.", "%s wil voortaan via %s bericht krijgen.", "Komt vaak te laat door ziekte, zegt %s."},
		"pl": {"Rozmowa z %s w sprawie reklamacji towaru.", "%s prosi o kontakt pod %s od jutra.", "Często choruje i prosi o zmianę terminu, mówi %s."},
	}
	text := strings.Replace(m.pick(notes[lang]...), "%s", m.full(lang), 1)
	return strings.Replace(text, "%s", m.local(lang)+"@example.com", 1)
}

func (m *maker) json(kind string) string {
	switch kind {
	case "profile":
		return fmt.Sprintf(`{"first_name": %q, "contacts": [{"type": "mail", "email": "%s@example.com"}], "score": %d}`, m.from("first", "en"), m.local("en"), m.rand.IntN(90))
	case "event":
		return fmt.Sprintf(`{"path": "/v1/items/%d", "user": {"email": "%s@example.com", "ip": "203.0.113.%d"}}`, m.rand.IntN(900), m.local("de"), m.rand.IntN(255))
	default:
		return fmt.Sprintf(`{"theme": %q, "per_page": %d, "beta": %t}`, m.pick("dark", "light"), m.rand.IntN(90), m.rand.IntN(2) == 0)
	}
}

// thing makes what is written in shapes.
func (m *maker) thing(t *testing.T, what string, args []string) string {
	t.Helper()
	shapes := map[string][]string{
		"code": {"&&&&&&&&", "@@-&&&&-##"}, "order": {"2026-0####", "ORD-######"}, "tracking": {"1Z&&&&&&########", "00340#######", "JD01########"},
		"sku": {"@@-####-@", "@@@##-##"}, "passport": {"C##@@####", "@@#######"}, "version": {"1.#.2#", "10.0.1####", "2.1#.0.4"},
		"ip": {"203.0.113.##", "198.51.100.1##", "10.#.##.#"}, "iptext": {"203.0.113.##", "198.51.100.1##", "2001:db8::####"},
		"lat": {"48.######", "51.######"}, "lng": {"2.######", "13.######"}, "point": {"(48.######,2.######)"},
	}
	switch what {
	case "digits":
		n, _ := strconv.Atoi(args[1])
		return m.shape("1" + strings.Repeat("#", n-1))
	case "hex":
		n, _ := strconv.Atoi(args[1])
		return m.random(n / 2)
	case "uuid":
		h := m.random(16)
		return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
	case "mac":
		h := m.random(6)
		return h[:2] + ":" + h[2:4] + ":" + h[4:6] + ":" + h[6:8] + ":" + h[8:10] + ":" + h[10:]
	case "bytes":
		return `\x89ff` + m.random(40)
	case "bcrypt":
		return "$2b$12$" + base64.RawURLEncoding.EncodeToString([]byte(m.random(20)))[:53]
	case "token":
		return "ghp_" + strings.ToUpper(m.random(18))
	case "ua":
		return "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/" + m.shape("5##.##") + " Safari/" + m.shape("5##.#")
	case "url":
		return "https://www.example.com/" + m.pick("img", "files", "p") + "/" + m.random(6) + ".jpg"
	case "slug":
		return m.pick("how-to-fix", "best-of", "web-node", "db-primary") + "-" + m.shape("##")
	case "array":
		return "{" + m.pick("travel", "sports", "tech") + "," + m.pick("new", "old") + "}"
	case "plate":
		return m.shape(map[string]string{"de": "B-@@ ###", "en": "@@## @@@", "es": "#### @@@", "nl": "@@-##-@@", "pl": "WA #####"}[args[1]])
	case "svnr":
		return m.shape("65######@###")
	case "iban":
		return m.checked("DE####################", recognise.IBAN)
	case "card":
		return m.checked("4###############", recognise.Card)
	default:
		if shapes[what] == nil {
			t.Fatalf("no maker %q", what)
		}
		return m.shape(m.pick(shapes[what]...))
	}
}

func (m *maker) random(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.rand.IntN(256))
	}
	return hex.EncodeToString(b)
}

// checked tries shapes until the check digits are right.
func (m *maker) checked(shape string, kind recognise.Kind) string {
	for {
		if s := m.shape(shape); recognise.Whole([]byte(s)).Has(kind) {
			return s
		}
	}
}
