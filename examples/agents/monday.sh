#!/bin/sh
# A remote agent in plain shell: in the market from Monday to Friday, UTC, out at the weekend.
#
#     seawall run demo --agent 'stdio{command=["sh","examples/agents/monday.sh"]}'

while read -r line; do
    case $line in
    '{"type":"hello"'*)
        echo '{"type":"ready","protocol":1,"name":"monday","bars":0}' ;;
    '{"type":"observation"'*)
        sequence=${line#*'"sequence":'} sequence=${sequence%%,*}
        time_ms=${line#*'"time_ms":'} time_ms=${time_ms%%,*}
        day=$(((time_ms / 86400000 + 3) % 7)) # 0 is Monday; 1970-01-01 was a Thursday
        if [ $day -lt 5 ]; then target=1; else target=0; fi
        echo "{\"type\":\"decision\",\"sequence\":$sequence,\"target\":$target}" ;;
    *) break ;;
    esac
done
