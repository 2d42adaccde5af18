// Package injection recognises statements that somebody's input has changed: it
// looks at what PostgreSQL's parser and lexer make of a text, for shapes that
// applications do not send and injections do.
//
//	SELECT name FROM customers WHERE id = 7 OR 1 = 1    tautology
//
// In goes a text with its statements; out come the names of the shapes, each
// once. What is found depends on the text alone, and for texts without comments
// on its form: on the values of literals only where DependsOnLiterals says so,
// so that one answer holds for all texts that differ in other literals.
//
// It is a burglar alarm and no lock: who may see what is decided elsewhere, and
// holds for injected statements as for any. It is made to be silent about what
// applications send. So it says nothing where an injection has the shape of an
// honest statement: 1=1 as one of several conditions that must all hold, which
// generators of SQL write; a UNION with the rows of another table; a second
// statement that reads. TestAttacks says how much of what tools and people try
// is recognised, TestHonest that nothing of what applications send is.
package injection
