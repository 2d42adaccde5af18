# An application with many end users behind one login and one small pool. What
# it sees it holds against what each of them should.
require_relative 'recipe'

User = Struct.new(:name, :region, :sees) do
  def roles = ['agent']
  def attributes = {region: region}
end

USERS = [User.new('anna', 'EU', [1, 2, 3, 4, 10]), User.new('bert', 'US', [5, 6, 7]), User.new('chloë', 'APAC', [8, 9]), User.new("d'Or", 'EU', [1, 2, 3, 4, 10])]
REQUESTS = 240
WORKERS = 8 # four for each connection

ActiveRecord::Base.establish_connection(adapter: 'postgresql', pool: 2) # the rest is in the environment
POOL = ActiveRecord::Base.connection_pool

class Customer < ActiveRecord::Base; end

def sees = Customer.where('id > 0').order(:id).pluck(:id)

def state
  yield
  'ok'
rescue ActiveRecord::StatementInvalid => e
  e.cause.result.error_field(PG::Result::PG_DIAG_SQLSTATE)
end

# Says what became of one request. Some fail amid their transaction, and some
# come without a token.
def request(user, i)
  return "without a token: #{state { sees }}" if i % 5 == 4
  own = false
  outcome = state do
    as(user) do
      own = sees == user.sees
      ActiveRecord::Base.connection.execute('SELECT 1/0') if i % 5 == 2
    end
  end
  "own rows #{own}: #{outcome}"
end

# Answers requests of all users at once.
def serve
  outcomes = Queue.new
  workers = WORKERS.times.map do |w|
    Thread.new do
      w.step(REQUESTS - 1, WORKERS) { |i| POOL.with_connection { outcomes << request(USERS[i / 5 % USERS.size], i) } }
    end
  end
  workers.each(&:join)
  puts '# requests'
  Array.new(outcomes.size) { outcomes.pop }.tally.sort.each { |outcome, n| puts "#{n} #{outcome}" }
end

# Makes a token; more replaces or adds claims.
def sign(id, name, secret, more = {})
  now = Time.now.to_i
  claims = {iss: 'crm', aud: 'pgveil', sub: name, roles: ['agent'], attributes: {region: 'EU'}, jti: id, iat: now, exp: now + 60}
  JWT.encode(claims.merge(more), secret, 'HS256')
end

def set(token) = "SET pgveil.token = '#{token}'"

# Has one prepared statement run for one user after the other.
def prepared(connection)
  puts '# prepared once'
  bind = ActiveRecord::Relation::QueryAttribute.new('id', 0, ActiveRecord::Type::Integer.new)
  ask = -> { connection.exec_query('SELECT id FROM customers WHERE id > $1 ORDER BY id', 'customers', [bind], prepare: true).rows.flatten }
  USERS.each do |user|
    connection.execute(set(sign("prepared for #{user.name}", user.name, KEY, attributes: user.attributes)))
    puts "#{user.name} [#{ask.call.join(' ')}] ok"
  end
  puts "nobody #{state { connection.execute('RESET pgveil.token') }} #{state(&ask)}"
end

# Tries tokens that must not count, on both connections of the pool.
def refused(connection, other)
  puts '# refused'
  past = Time.now.to_i - 3600
  [
    ['good', KEY, {}],
    ['forged', 'another secret of 32 bytes or more', {}],
    ['expired', KEY, {iat: past, exp: past + 60}],
    ['for others', KEY, {aud: 'another'}],
    ['more than the login may', KEY, {roles: ['dba']}],
  ].each do |name, secret, more|
    sql = set(sign(name, 'anna', secret, more))
    puts "#{name}: #{state { connection.execute(sql) }}, on another connection: #{state { other.execute(sql) }}"
  end
  puts "unsigned: #{state { other.execute("SET pgveil.end_user = 'anna'") }}"
end

serve
connection, other = POOL.checkout, POOL.checkout
prepared(connection)
refused(connection, other)
