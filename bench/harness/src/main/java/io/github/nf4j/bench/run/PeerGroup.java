package io.github.nf4j.bench.run;

import io.github.nf4j.bench.result.CaseResult.Peer;
import io.github.nf4j.bench.stats.Summary;
import java.util.ArrayList;
import java.util.List;

/// The other libraries that take part in one case, and those that cannot.
///
/// @param contenders those that are measured, in turns with ours
/// @param missing    rows of the others, each with its reason
public record PeerGroup(List<Contender> contenders, List<Peer> missing) {
    public static final PeerGroup NONE = new PeerGroup(List.of(), List.of());

    /// @param tracks ours, then those of [#contenders]
    List<Peer> results(List<Interleaver.Track> tracks) {
        List<Peer> peers = new ArrayList<>();
        double[] ours = tracks.getFirst().medians();
        for (int i = 0; i < contenders.size(); i++) {
            Interleaver.Track track = tracks.get(i + 1);
            double[] theirs = track.medians();
            double[] ratios = new double[ours.length];
            for (int round = 0; round < ratios.length; round++) {
                ratios[round] = ours[round] / theirs[round];
            }
            peers.add(new Peer(contenders.get(i).name(), contenders.get(i).version(), null, track.samples(), Summary.of(track.samples()),
                    Summary.median(ratios)));
        }
        peers.addAll(missing);
        return peers;
    }
}
