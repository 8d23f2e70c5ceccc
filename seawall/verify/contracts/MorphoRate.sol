// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.0;

/// A rate model that anybody may set: base + slope * utilisation, per second, 1e18.
contract MorphoRate {
    struct Params {
        address loanToken;
        address collateralToken;
        address oracle;
        address irm;
        uint256 lltv;
    }

    struct Market {
        uint128 supplied;
        uint128 supplyShares;
        uint128 borrowed;
        uint128 borrowShares;
        uint128 lastUpdate;
        uint128 fee;
    }

    uint256 public base;
    uint256 public slope;

    function set(uint256 base_, uint256 slope_) external {
        base = base_;
        slope = slope_;
    }

    function borrowRate(Params memory, Market memory market) external view returns (uint256) {
        if (market.supplied == 0) return base;
        uint256 utilisation = uint256(market.borrowed) * 1e18 / market.supplied;
        return base + slope * utilisation / 1e18;
    }
}
