%% escript peer.erl NAME [SCALE]: some workloads as an Erlang program does them.
%% Processes are Erlang's, their mailboxes the queues.  Prints one number.
-module(bench_peer).
-mode(compile).
-export([main/1]).

-define(REC, #{id => 1, name => <<"abc">>, value => 3.14}).

main([Name | Rest]) ->
    Scale = case Rest of [] -> 1.0; [S] -> number(S) end,
    io:format("~.6g~n", [float(run(list_to_atom(Name), Scale))]).

number(S) ->
    try list_to_float(S) catch error:badarg -> float(list_to_integer(S)) end.

count(N, Scale) -> max(1, trunc(N * Scale)).

now_s() -> erlang:monotonic_time(nanosecond) / 1.0e9.

rate(N, Run) ->
    Begin = now_s(),
    Run(),
    N / (now_s() - Begin).

times(0, _) -> ok;
times(N, Run) -> Run(), times(N - 1, Run).

run(start_join_thread, S) ->
    N = count(100000, S),
    rate(N, fun() -> times(N, fun start_join/0) end);
run(pipe_pingpong, S) ->
    N = count(300000, S),
    Peer = spawn_link(fun echo/0),
    rate(N, fun() -> times(N, fun() -> call(Peer, 1) end) end);
run(pipe_throughput_small, S) -> queue(1, ?REC, count(1000000, S));
run(queue_1p1c_int, S) -> queue(1, 1, count(2000000, S));
run(queue_1p1c_rec, S) -> queue(1, ?REC, count(1000000, S));
run(queue_4p1c_rec, S) -> queue(4, ?REC, count(1000000, S));
run(value_add, S) ->
    N = count(5000000, S),
    Ref = counters:new(1, [atomics]),
    R = rate(2 * N, fun() -> beside(fun() -> add(Ref, N) end) end),
    true = counters:get(Ref, 1) =:= 2 * N,
    R;
run(pool_map_tiny_chunk1, S) ->
    N = count(200000, S),
    Team = {spawn_link(fun echo/0), spawn_link(fun echo/0)},
    rate(N, fun() -> pool(Team, 1, 0, N) end);
run(pool_apply_latency, S) -> run(pipe_pingpong, S);
run(serialize_record, S) -> serialize(?REC, count(300000, S));
run(serialize_nested10k, S) ->
    serialize([#{id => I, name => text("user", I), score => I * 0.5,
                 active => I rem 2 =:= 0,
                 tags => [text("a", I rem 7), <<"bb">>, <<"ccc">>]}
               || I <- lists:seq(1, 10000)], count(20, S));
run(serialize_floats1e6, S) ->
    serialize([I * 0.1 || I <- lists:seq(1, 1000000)], count(5, S));
run(serialize_ints1e6, S) ->
    serialize(lists:seq(1, 1000000), count(8, S));
run(serialize_strings1e5, S) ->
    serialize([text("str", I) || I <- lists:seq(1, 100000)], count(40, S)).

text(Prefix, I) -> list_to_binary([Prefix, integer_to_list(I)]).

start_join() ->
    {_, Ref} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Ref, _, _, _} -> ok end.

echo() ->
    receive {From, Value} -> From ! {back, self(), Value}, echo() end.

call(Peer, Value) ->
    Peer ! {self(), Value},
    receive {back, Peer, Value} -> ok end.

%% Items a second from P senders to one receiver, released together.
queue(P, Value, Total) ->
    Main = self(),
    Share = Total div P,
    Consumer = spawn_link(fun() ->
        receive go -> ok end,
        take(Share * P),
        Main ! {done, now_s()}
    end),
    Send = fun() ->
        receive go -> ok end,
        times(Share, fun() -> Consumer ! {item, Value} end)
    end,
    Team = [spawn_link(Send) || _ <- lists:seq(1, P)],
    Begin = now_s(),
    [Each ! go || Each <- [Consumer | Team]],
    receive {done, End} -> Share * P / (End - Begin) end.

take(0) -> ok;
take(N) -> receive {item, _} -> take(N - 1) end.

add(_, 0) -> ok;
add(Ref, N) -> counters:add(Ref, 1, 1), add(Ref, N - 1).

beside(Run) ->
    {_, Ref} = spawn_monitor(Run),
    Run(),
    receive {'DOWN', Ref, _, _, normal} -> ok end.

%% 512 tasks under way.
pool(_, _, N, N) -> ok;
pool(Team, Next, Got, N) when Next =< N, Next - Got =< 512 ->
    element(Next rem 2 + 1, Team) ! {self(), Next},
    pool(Team, Next + 1, Got, N);
pool(Team, Next, Got, N) ->
    receive {back, _, _} -> pool(Team, Next, Got + 1, N) end.

serialize(Value, N) ->
    Data = term_to_binary(Value),
    rate(N, fun() ->
        times(N, fun() -> term_to_binary(Value) end),
        times(N, fun() -> binary_to_term(Data) end)
    end).
