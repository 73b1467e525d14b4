# A load of files on the volume that is mounted at `volume`, and what became of them.

# Writes file after file, each on stable storage before its name and sum are noted, until it is told to stop.
load() {
    (
        n=0
        while [ ! -e /tmp/stop ]; do
            n=$((n + 1))
            dd if=/dev/urandom of="$volume/$n" bs=8k count=$((n % 16 + 1)) conv=fsync 2>/dev/null &&
                sum=$(sha256sum "$volume/$n") || { echo "file $n" >>/tmp/failed; break; }
            echo "$sum" >>/tmp/written
            # Some go again, so that metadata is written over and over.
            [ $((n % 3)) != 0 ] || { rm "$volume/$n" && sed -i '$d' /tmp/written; }
        done
        rm -f /tmp/load
    ) >/dev/null 2>&1 </dev/null &
    echo $! >/tmp/load
}

# How many files the load has finished.
written() {
    [ -e /tmp/written ] && wc -l </tmp/written || echo 0
}

# Removes the load of an earlier test.
wipe_load() {
    [ ! -e /tmp/load ] || kill "$(cat /tmp/load)" 2>/dev/null || true
    rm -f /tmp/load /tmp/written /tmp/failed /tmp/stop
}
