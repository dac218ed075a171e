-- A manager: dictionaries, queues and objects of one's own in a server process,
-- used from here, from children, and through a socket from anywhere else.
local mp = require "mp"

local Bank = mp.managers.SyncManager:extend()

Bank:register("Account", function(owner)
  local Account = { owner = owner, balance = 0 }
  function Account:pay(amount)
    if self.balance + amount < 0 then error("not enough money", 0) end
    self.balance = self.balance + amount
    return self.balance
  end
  return Account
end)

local key = "a key that both sides share"
local bank <close> = assert(Bank {
  address = { "127.0.0.1", 0 }, authkey = key,
}:start())

-- Children get proxies as any other value.
local account, log, done = bank:Account("Ada"), bank:list(), bank:Queue()
for i = 1, 3 do
  mp.Process(function()
    for _ = 1, 10 do account:pay(i) end
    log:append("child " .. i)
    done:put(i)
  end):start()
end
for _ = 1, 3 do done:get() end
print("balance:", account.balance, "children:", #log)

-- Whoever has the key connects, with its own idea of what is there.
local Visitor = mp.managers.SyncManager:extend()
Visitor:register("Account")
local visitor = assert(Visitor {
  address = bank.address, authkey = key,
}:connect())
local other = visitor:Account("Bob")
print("another account:", other:pay(5))

-- An error there is an error here.
local ok, err = pcall(other.pay, other, -100)
print("refused:", ok, err.message)

-- A change of one key, in one go, on the server.
local votes = bank:dict { yes = 0, no = 0 }
local voters = {}
for i = 1, 4 do
  voters[i] = mp.Process(function()
    votes:_update(i % 2 == 0 and "yes" or "no", function(n) return n + 1 end)
  end):start()
end
for _, voter in ipairs(voters) do voter:join() end
for answer, n in pairs(votes) do print("votes:", answer, n) end
