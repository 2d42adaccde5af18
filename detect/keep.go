package detect

import "time"

// Changes gives what is to be written of up to so many people, who count as
// written with that; if it fails, Again says so.
func (d *Detector) Changes(most int) (changes []Habit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.people {
		if len(changes) == most {
			break
		}
		if p.changed && p.day != "" {
			changes = append(changes, p.change(p.name))
		}
	}
	return changes
}

// Again says that changes could not be written.
func (d *Detector) Again(changes []Habit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range changes {
		if p := d.people[c.User]; p != nil {
			p.changed = true
			p.fresh.Tables = append(c.Tables, p.fresh.Tables...)
			p.fresh.Networks = append(c.Networks, p.fresh.Networks...)
		}
	}
}

// Unread gives up to so many people whose history is wanted, and the first day of
// it. They count as asked for; if nobody answers, Learn is told so.
func (d *Detector) Unread(most int, at time.Time) (users []string, since string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(most, len(d.unread))
	users = d.unread[:n:n]
	d.unread = d.unread[n:]
	return users, leastDay(at)
}

// Unlearned says that histories could not be had.
func (d *Detector) Unlearned(users []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unread = append(d.unread, users[:min(len(users), maxUnread-min(maxUnread, len(d.unread)))]...)
}

// Merge takes what all proxies saw of people today.
func (d *Detector) Merge(habits []Habit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range habits {
		if p := d.people[h.User]; p != nil && p.day == h.Day {
			p.again(h)
		}
	}
}

// fewDays is how long a history must be, at least, for others to be compared
// with.
const fewDays = 5

// Learn takes the histories of people, where there are any.
func (d *Detector) Learn(users []string, history []Habit) {
	byUser := map[string][]Habit{}
	for _, h := range history {
		byUser[h.User] = append(byUser[h.User], h)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, user := range users {
		if p := d.people[user]; p != nil {
			p.learn(byUser[user])
		}
	}
	d.usual = 0
	for _, p := range d.people {
		if p.usual.days >= fewDays {
			d.usual = max(d.usual, p.usual.median)
		}
	}
}
