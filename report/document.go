package report

// Document is a report as it is read by people, before it is Markdown or HTML.
// Its texts may hold anything: those who write it out escape them.
type Document struct {
	Title    string
	About    []Field // what, of when, by what
	Sections []Section
}

// Section is a part of a document under a heading. Blocks stand in order.
type Section struct {
	Title  string
	Blocks []Block
}

// Block is one of its fields; the others are empty.
type Block struct {
	Text    string
	Warning string // that nobody may overlook
	Items   []string
	Fields  []Field
	Table   *Table
	Chart   *Chart
}

// Field is a named value. One with a Gap is not known to pgveil and left for
// people to fill in: Gap says what is missing.
type Field struct {
	Name, Value string
	Gap         string
}

// Table has as many cells in every row as it has columns.
type Table struct {
	Title   string
	Columns []string
	Numbers []bool // which columns hold numbers
	Rows    [][]string
	More    int // rows that are not shown
}

// Chart is a picture of bars. Its numbers stand in a table beside it.
type Chart struct {
	Title, About string
	Upright      bool // columns over time; else a bar a line
	Series       []string
	Bars         []Bar
}

// Bar has a value for each series.
type Bar struct {
	Label  string
	Values []int64
}

func text(s string) Block                  { return Block{Text: s} }
func warning(s string) Block               { return Block{Warning: s} }
func items(list ...string) Block           { return Block{Items: list} }
func fields(list ...Field) Block           { return Block{Fields: list} }
func section(t string, b ...Block) Section { return Section{t, b} }

// known gives a field whose value is known, or one to be filled in.
func known(name, value, gap string) Field {
	if value == "" {
		return Field{Name: name, Gap: gap}
	}
	return Field{Name: name, Value: value}
}

// table makes a block of rows. Columns whose name begins with # hold numbers.
func table(title string, columns []string, rows [][]string) Block {
	t := &Table{Title: title, Rows: rows}
	for _, c := range columns {
		number := c[0] == '#'
		if number {
			c = c[1:]
		}
		t.Columns, t.Numbers = append(t.Columns, c), append(t.Numbers, number)
	}
	if len(t.Rows) > maxRows {
		t.More, t.Rows = len(t.Rows)-maxRows, t.Rows[:maxRows]
	}
	return Block{Table: t}
}

// maxRows is how many rows of a table people are shown. All are in the JSON.
const maxRows = 500
