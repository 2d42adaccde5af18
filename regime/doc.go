// Package regime holds, as data, by when the laws on data protection want the
// requests of data subjects answered, and computes the days from it:
//
//	law, ok := regime.Named("gdpr")
//	c := law.Clock(received, regime.Erasure)
//	c.Due // the last day on which an answer is in time
//
// Days are counted as the most cautious reading does: public holidays are
// nobody's excuse here, and a last day that falls on a weekend is not moved to
// the Monday after. Whoever keeps these days keeps the law's.
package regime
