package report

// picture is a chart with its places computed, in the units of its viewBox.
type picture struct {
	*Chart
	ID            int
	Width, Height int
	Base          int // where upright bars stand
	Rects         []rect
	Labels        []label
	Lines         []line
}

type rect struct {
	X, Y, W, H int
	Series     int
	About      string
}

type label struct {
	X, Y   int
	Text   string
	Anchor string
}

type line struct{ X1, Y1, X2, Y2 int }

// The measures of pictures.
const (
	pictureWidth = 760
	plotTop      = 18
	plotHeight   = 160
	plotLeft     = 70
	lineHeight   = 26
	labelWidth   = 230
	valueWidth   = 90
	maxColumn    = 90 // of a column's width
	maxLabel     = 34 // characters that labelWidth holds
)

// draw computes a chart's picture. id tells the pictures of a page apart.
func (c *Chart) draw(id int) picture {
	p := picture{Chart: c, ID: id, Width: pictureWidth}
	if c.Upright {
		p.columns()
	} else {
		p.lines()
	}
	return p
}

func (b Bar) sum() (sum int64) {
	for _, v := range b.Values {
		sum += v
	}
	return sum
}

func (c *Chart) most() int64 {
	most := int64(1)
	for _, b := range c.Bars {
		most = max(most, b.sum())
	}
	return most
}

// scaled gives a length in proportion. What is not nothing can be seen.
func scaled(v, most int64, length int) int {
	n := int(float64(v) / float64(most) * float64(length))
	if v > 0 && n == 0 {
		return 1
	}
	return n
}

func (p *picture) columns() {
	p.Base, p.Height = plotTop+plotHeight, plotTop+plotHeight+26
	most, n := p.most(), len(p.Bars)
	for _, part := range []int64{0, 1, 2} {
		y := p.Base - scaled(part, 2, plotHeight)
		p.Lines = append(p.Lines, line{plotLeft, y, p.Width - 10, y})
		if part*most%2 == 0 {
			p.Labels = append(p.Labels, label{plotLeft - 6, y + 4, number(part * most / 2), "end"})
		}
	}
	room := min(p.Width-10-plotLeft, maxColumn*n)
	for i, b := range p.Bars {
		left, right := plotLeft+room*i/n, plotLeft+room*(i+1)/n
		gap := min(2, (right-left)/4)
		y := p.Base
		for s, v := range b.Values {
			h := scaled(v, most, plotHeight)
			if y -= h; h > 0 {
				p.Rects = append(p.Rects, rect{left + gap, y, max(1, right-left-2*gap), h, s, b.Label + ": " + number(v) + " " + p.Series[s]})
			}
		}
	}
	for _, i := range ticks(n) {
		p.Labels = append(p.Labels, label{plotLeft + room*i/n, p.Base + 18, p.Bars[i].Label, "start"})
	}
}

// ticks chooses up to four bars to name below.
func ticks(n int) []int {
	var chosen []int
	for i := 0; i < n; i += max(1, (n+3)/4) {
		chosen = append(chosen, i)
	}
	return chosen
}

func (p *picture) lines() {
	p.Height = plotTop/2 + lineHeight*len(p.Bars) + 6
	most := p.most()
	for i, b := range p.Bars {
		y := plotTop/2 + lineHeight*i
		x := labelWidth
		for s, v := range b.Values {
			w := scaled(v, most, p.Width-labelWidth-valueWidth)
			if w > 0 {
				p.Rects = append(p.Rects, rect{x, y, w, lineHeight - 8, s, b.Label + ": " + number(v) + " " + p.Series[s]})
			}
			x += w
		}
		p.Labels = append(p.Labels,
			label{labelWidth - 8, y + lineHeight/2 + 1, short(clean(b.Label)), "end"},
			label{x + 6, y + lineHeight/2 + 1, number(b.sum()), "start"})
	}
}

func short(s string) string {
	if r := []rune(s); len(r) > maxLabel {
		return string(r[:maxLabel-1]) + "…"
	}
	return s
}
