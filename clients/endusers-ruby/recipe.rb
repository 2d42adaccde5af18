require 'active_record'
require 'jwt'
require 'securerandom'

KEY = File.read(ENV.fetch('CRM_KEY_FILE')).strip

# Yields in a transaction that is the user's.
def as(user)
  now = Time.now.to_i
  claims = {iss: 'crm', aud: 'pgveil', sub: user.name, roles: user.roles, attributes: user.attributes,
            jti: SecureRandom.uuid, iat: now, exp: now + 60, transaction: true}
  ActiveRecord::Base.transaction do
    ActiveRecord::Base.connection.execute("SET LOCAL pgveil.token = '#{JWT.encode(claims, KEY, 'HS256')}'")
    yield
  end
end
